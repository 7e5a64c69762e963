# How everything in this house is compiled: one INTERFACE target for warnings
# and sanitizers, and three functions so that a leaf CMakeLists is a few lines.

option(FEDMQ_WERROR "Treat warnings as errors" OFF)
set(FEDMQ_SANITIZE "" CACHE STRING "Sanitizers, such as address,undefined or thread")
option(FEDMQ_COVERAGE "Measure test coverage" OFF)

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
# include/fedmq/base/api.h makes the declarations of public headers visible again.
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

add_library(fedmq_flags INTERFACE)
target_compile_definitions(fedmq_flags INTERFACE _POSIX_C_SOURCE=200809L)
target_include_directories(fedmq_flags INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
# Fused multiply-adds are written where they are wanted, never left to the
# compiler: the same source must give the same bytes with every compiler flag.
target_compile_options(fedmq_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
    -Wundef -Wcast-qual -Wwrite-strings -Wformat=2 -Wvla -ffp-contract=off
    $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation>
    $<$<BOOL:${FEDMQ_WERROR}>:-Werror>)
if(FEDMQ_SANITIZE)
    target_compile_options(fedmq_flags INTERFACE
        -fsanitize=${FEDMQ_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(fedmq_flags INTERFACE -fsanitize=${FEDMQ_SANITIZE})
endif()
if(FEDMQ_COVERAGE)
    target_compile_options(fedmq_flags INTERFACE --coverage)
    target_link_options(fedmq_flags INTERFACE --coverage)
endif()

# fedmq_room(<name> SOURCES ... [LINK ...]): a folder's static library
# fedmq_<name>; its objects become part of libfedmq.
function(fedmq_room name)
    cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
    add_library(fedmq_${name} STATIC ${arg_SOURCES})
    target_link_libraries(fedmq_${name} PUBLIC ${arg_LINK} PRIVATE fedmq_flags)
    target_include_directories(fedmq_${name} PUBLIC
        ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR})
    set_property(GLOBAL APPEND PROPERTY FEDMQ_ROOMS fedmq_${name})
endfunction()

# fedmq_library(): libfedmq, made of the objects of every room.  Before 1.0 every minor version may
# break programs that were linked with the one before.
function(fedmq_library)
    set(soversion ${PROJECT_VERSION_MAJOR})
    if(soversion EQUAL 0)
        set(soversion 0.${PROJECT_VERSION_MINOR})
    endif()
    get_property(rooms GLOBAL PROPERTY FEDMQ_ROOMS)
    set(objects "")
    foreach(room ${rooms})
        list(APPEND objects $<TARGET_OBJECTS:${room}>)
    endforeach()
    add_library(fedmq_lib SHARED ${objects})
    add_library(fedmq::fedmq ALIAS fedmq_lib)
    set_target_properties(fedmq_lib PROPERTIES
        OUTPUT_NAME fedmq EXPORT_NAME fedmq LINKER_LANGUAGE C
        VERSION ${PROJECT_VERSION} SOVERSION ${soversion})
    # actors.h gives functions that CZMQ starts, so who uses it uses CZMQ.
    target_link_libraries(fedmq_lib PUBLIC PkgConfig::CZMQ
        PRIVATE fedmq_flags ${FEDMQ_DEPENDENCIES})
    target_include_directories(fedmq_lib PUBLIC
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
        $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endfunction()

# fedmq_test(<name> LABEL unit|grad|...  [concurrency] LINK <rooms> [SOURCES ...] [TIMEOUT s]):
# a cmocka program from <name>.c, registered with CTest.
function(fedmq_test name)
    cmake_parse_arguments(arg "" "TIMEOUT" "LABEL;SOURCES;LINK;ARGS" ${ARGN})
    if(NOT arg_SOURCES)
        set(arg_SOURCES ${name}.c)
    endif()
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 300)
    endif()
    add_executable(${name} ${arg_SOURCES})
    target_link_libraries(${name} PRIVATE ${arg_LINK} fedmq_flags PkgConfig::CMOCKA)
    target_compile_definitions(${name} PRIVATE
        FEDMQ_SOURCE_DIR="${PROJECT_SOURCE_DIR}" FEDMQ_PROGRAM="$<TARGET_FILE_DIR:fedmq_program>/fedmq")
    add_test(NAME ${name} COMMAND ${name} ${arg_ARGS})
    set_tests_properties(${name} PROPERTIES LABELS "${arg_LABEL}" TIMEOUT ${arg_TIMEOUT}
        SKIP_RETURN_CODE 77)
endfunction()

# fedmq_on_emulated(<program> <label>): the program of a test once more, with the GPU that the CPU
# emulates as its argument.
function(fedmq_on_emulated program label)
    add_test(NAME ${program}_cuda_emulated COMMAND ${program} cuda-emulated)
    set_tests_properties(${program}_cuda_emulated PROPERTIES LABELS "${label}" TIMEOUT 900
        SKIP_RETURN_CODE 77
        ENVIRONMENT "FEDMQ_CUDA_EMULATED=$<TARGET_FILE:fedmq_cuda_emulated_module>")
endfunction()
