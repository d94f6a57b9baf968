include(CMakePackageConfigHelpers)
set(MATVIEW_CMAKE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/matview")

install(TARGETS matview EXPORT matview-targets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT matview-targets NAMESPACE matview:: DESTINATION ${MATVIEW_CMAKE_DIR})
configure_package_config_file(cmake/matview-config.cmake.in
  ${PROJECT_BINARY_DIR}/matview-config.cmake INSTALL_DESTINATION ${MATVIEW_CMAKE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/matview-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/matview-config.cmake
  ${PROJECT_BINARY_DIR}/matview-config-version.cmake
  cmake/FindPgQuery.cmake
  DESTINATION ${MATVIEW_CMAKE_DIR})
