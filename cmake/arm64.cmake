# Cross build for Arm64 on an amd64 Debian 12. Libraries come from tools/arm64-sysroot, tests run
# under qemu's user emulation.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)

set(ts_arm64_sysroot ${CMAKE_CURRENT_LIST_DIR}/../build/arm64-sysroot)
get_filename_component(ts_arm64_sysroot ${ts_arm64_sysroot} ABSOLUTE)
if(NOT EXISTS ${ts_arm64_sysroot}/.complete)
    message(FATAL_ERROR "The arm64 libraries are not there: run tools/arm64-sysroot first "
                        "(programs: tools/packages-arm64.txt).")
endif()

set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_SYSROOT ${ts_arm64_sysroot})
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH ${ts_arm64_sysroot})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

set(ENV{PKG_CONFIG_DIR} "")
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${ts_arm64_sysroot})
set(ENV{PKG_CONFIG_LIBDIR}
    ${ts_arm64_sysroot}/usr/lib/aarch64-linux-gnu/pkgconfig:${ts_arm64_sysroot}/usr/share/pkgconfig)

set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static -L ${ts_arm64_sysroot})
