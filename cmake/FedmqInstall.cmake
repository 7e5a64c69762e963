# Install rules, find_package(fedmq) and pkg-config.
include(CMakePackageConfigHelpers)

install(TARGETS fedmq_lib EXPORT fedmqTargets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/fedmq DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT fedmqTargets NAMESPACE fedmq:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fedmq)
configure_package_config_file(cmake/fedmqConfig.cmake.in ${PROJECT_BINARY_DIR}/fedmqConfig.cmake
    INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fedmq)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/fedmqConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
# The installed tree may be moved as a whole: fedmq.pc finds the others from where it is.
file(RELATIVE_PATH FEDMQ_PC_TO_PREFIX
    ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" FEDMQ_PC_TO_PREFIX "${FEDMQ_PC_TO_PREFIX}")
file(RELATIVE_PATH FEDMQ_PC_LIBDIR ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_LIBDIR})
file(RELATIVE_PATH FEDMQ_PC_INCLUDEDIR ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_INCLUDEDIR})
configure_file(cmake/fedmq.pc.in ${PROJECT_BINARY_DIR}/fedmq.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/fedmqConfig.cmake ${PROJECT_BINARY_DIR}/fedmqConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fedmq)
install(FILES ${PROJECT_BINARY_DIR}/fedmq.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
