# What `cmake --install` puts where, and how users' builds find it: pkg-config thrum, or find_package(thrum).
include(CMakePackageConfigHelpers)

install(TARGETS thrum_shared thrum_static EXPORT thrumTargets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/thrum DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(EXPORT thrumTargets NAMESPACE thrum:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/thrum)
configure_package_config_file(cmake/thrumConfig.cmake.in thrumConfig.cmake
    INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/thrum)
# Before 1.0 a new minor number may change the interface.
write_basic_package_version_file(thrumConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/thrumConfig.cmake ${PROJECT_BINARY_DIR}/thrumConfigVersion.cmake
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/thrum)

# A folder may be given absolute (Nix does), so ${prefix} is not put before it blindly.
foreach(folder LIBDIR INCLUDEDIR)
    if(IS_ABSOLUTE "${CMAKE_INSTALL_${folder}}")
        set(THRUM_PC_${folder} ${CMAKE_INSTALL_${folder}})
    else()
        set(THRUM_PC_${folder} "\${prefix}/${CMAKE_INSTALL_${folder}}")
    endif()
endforeach()
configure_file(thrum.pc.in thrum.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/thrum.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

foreach(section 1 3 7)
    file(GLOB pages CONFIGURE_DEPENDS docs/man/*.${section})
    install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

if(TARGET thrum_cli)
    # So that it finds the library beside it in any prefix.
    file(RELATIVE_PATH up ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
    set_target_properties(thrum_cli PROPERTIES INSTALL_RPATH "$ORIGIN/${up}")
    install(TARGETS thrum_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
