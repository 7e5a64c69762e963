# What makes a mistake of ours harder to use against the one who runs it.  Optimised builds have it;
# sanitized and fuzzed ones look for the same mistakes in ways of their own.
# tests/house/test_hardening.sh reads the binaries for it.
include(CheckCCompilerFlag)
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)

# No path of the one who built it may be in what others run.  Debug information keeps its paths in
# builds that are made for debuggers, and no installed binary needs it.
target_compile_options(fedmq_flags INTERFACE
    -fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=
    $<$<CONFIG:Release,MinSizeRel>:-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=>)

if(FEDMQ_SANITIZE OR FEDMQ_COVERAGE)
    return()
endif()

set(optimised "$<CONFIG:Release,MinSizeRel,RelWithDebInfo>")
target_compile_options(fedmq_flags INTERFACE
    "$<${optimised}:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=3>")
foreach(flag -fstack-protector-strong -fstack-clash-protection -fcf-protection)
    string(MAKE_C_IDENTIFIER "FEDMQ_HAS${flag}" has)
    check_c_compiler_flag(${flag} ${has})
    if(${has})
        target_compile_options(fedmq_flags INTERFACE $<${optimised}:${flag}>)
    endif()
endforeach()
target_link_options(fedmq_flags INTERFACE
    $<${optimised}:LINKER:-z,relro,-z,now,-z,noexecstack>)
