# examples/*.c: each a program of its own, against the shared library and the public headers. Run without arguments each
# talks to a server inside itself and ends with 0, so each is a test as well.
file(GLOB examples CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/examples/*.c)
foreach(source ${examples})
    get_filename_component(name ${source} NAME_WE)
    add_executable(example_${name} ${source})
    target_link_libraries(example_${name} PRIVATE ${THRUM_USER_LIBRARY} Threads::Threads)
    set_target_properties(example_${name} PROPERTIES OUTPUT_NAME ${name}
        RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/examples)
    if(BUILD_TESTING)
        add_test(NAME example.${name} COMMAND example_${name})
        set_tests_properties(example.${name} PROPERTIES LABELS example TIMEOUT 60)
    endif()
endforeach()
