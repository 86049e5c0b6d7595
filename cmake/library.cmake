# libthrum.so and libthrum.a, both from the objects of all rooms.
add_library(thrum_shared SHARED ${THRUM_OBJECTS})
add_library(thrum::thrum ALIAS thrum_shared)
set_target_properties(thrum_shared PROPERTIES OUTPUT_NAME thrum VERSION ${PROJECT_VERSION} SOVERSION 0
    EXPORT_NAME thrum LINKER_LANGUAGE C)
target_include_directories(thrum_shared INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(thrum_shared PRIVATE Threads::Threads OpenSSL::SSL OpenSSL::Crypto ${THRUM_IDN} ${THRUM_CODECS} ${THRUM_URING_LIBRARIES} ${CMAKE_DL_LIBS})
if(THRUM_PLAIN)
    # A sanitized library under clang leaves its runtime to the program, so there it cannot be closed like this.
    target_link_options(thrum_shared PRIVATE -Wl,--no-undefined)
endif()

# Hiding works on linked files, not on archives: in a plain archive `conn_free` of ours would meet `conn_free` of the
# user. So all objects are merged into one first, and what is hidden in it is made local.
find_program(THRUM_OBJCOPY NAMES ${CMAKE_OBJCOPY} objcopy)
if(THRUM_PLAIN AND THRUM_OBJCOPY AND CMAKE_LINKER)
    set(whole ${PROJECT_BINARY_DIR}/thrum_whole.o)
    add_custom_command(OUTPUT ${whole}
        COMMAND ${CMAKE_LINKER} -r -o ${whole} ${THRUM_OBJECTS}
        # What -flto added describes the parts, not the whole.
        COMMAND ${THRUM_OBJCOPY} --localize-hidden --remove-section .gnu.lto_* --remove-section .gnu.debuglto_* ${whole}
        DEPENDS ${THRUM_OBJECTS} COMMAND_EXPAND_LISTS VERBATIM COMMENT "Merging libthrum.a")
    set_source_files_properties(${whole} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
    add_library(thrum_static STATIC ${whole})
    set(THRUM_STATIC_IS_MERGED ON)
else()
    add_library(thrum_static STATIC ${THRUM_OBJECTS})
    set(THRUM_STATIC_IS_MERGED OFF)
endif()
add_library(thrum::thrum_static ALIAS thrum_static)
set_target_properties(thrum_static PROPERTIES OUTPUT_NAME thrum LINKER_LANGUAGE C)
target_include_directories(thrum_static INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(thrum_static INTERFACE Threads::Threads OpenSSL::SSL OpenSSL::Crypto ${THRUM_IDN} ${THRUM_CODECS} ${THRUM_URING_LIBRARIES} ${CMAKE_DL_LIBS})
