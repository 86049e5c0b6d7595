# Flags for everything that is compiled here. Warnings are the same for gcc and clang, so that neither finds what the
# other let pass.
set(THRUM_WARNINGS -Wall -Wextra -Wconversion -Wsign-conversion -Wshadow -Wpointer-arith -Wcast-qual -Wwrite-strings
    -Wvla -Wstrict-prototypes -Wmissing-prototypes)
# Under sanitizers gcc warns of conversions and uninitialized values that are not there; the plain builds hold the line.
if(THRUM_WERROR AND NOT THRUM_SANITIZE)
    list(APPEND THRUM_WARNINGS -Werror)
endif()
foreach(warning ${THRUM_WARNINGS})
    add_compile_options($<$<COMPILE_LANGUAGE:C>:${warning}>)
endforeach()
add_compile_definitions(_GNU_SOURCE)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

# THRUM_PLAIN: the objects carry nothing but our code, so they can be merged into one and checked by nm.
set(THRUM_PLAIN ON)
if(THRUM_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES Clang)
        message(FATAL_ERROR "THRUM_FUZZ needs clang: configure with -DCMAKE_C_COMPILER=clang, or --preset fuzz.")
    endif()
    # Coverage feedback for libFuzzer in the library itself; its main() is added to the targets only.
    add_compile_options(-fsanitize=fuzzer-no-link)
    if(NOT THRUM_SANITIZE)
        set(THRUM_SANITIZE address,undefined)
    endif()
endif()
if(THRUM_SANITIZE)
    add_compile_options(-fsanitize=${THRUM_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g)
    add_link_options(-fsanitize=${THRUM_SANITIZE})
    set(THRUM_PLAIN OFF)
endif()
if(THRUM_COVERAGE)
    add_compile_options(--coverage -fprofile-update=atomic)
    add_link_options(--coverage)
    set(THRUM_PLAIN OFF)
endif()
