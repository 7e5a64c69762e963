# The libraries that fedmq stands on, all from the distribution's packages.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(ZMQ REQUIRED IMPORTED_TARGET libzmq>=4.3.3)
pkg_check_modules(CZMQ REQUIRED IMPORTED_TARGET libczmq>=4.2)
pkg_check_modules(MSGPACK REQUIRED IMPORTED_TARGET msgpack>=3.0)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.14)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc>=2.4)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(ZLIB REQUIRED IMPORTED_TARGET zlib)
if(BUILD_TESTING)
    pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
    # Products are our own; OpenBLAS is what bench_gemm compares them with.
    pkg_check_modules(BLAS REQUIRED IMPORTED_TARGET openblas)
endif()

set(FEDMQ_DEPENDENCIES
    PkgConfig::CZMQ PkgConfig::ZMQ PkgConfig::MSGPACK PkgConfig::YAML PkgConfig::JANSSON
    PkgConfig::PCRE2 PkgConfig::UTF8PROC PkgConfig::SODIUM PkgConfig::ZLIB Threads::Threads m)
