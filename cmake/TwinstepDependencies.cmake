# Everything from Debian 12. A missing one is named with its package.
find_package(PkgConfig REQUIRED)

function(ts_pkg PREFIX MODULE PACKAGE)
    pkg_check_modules(${PREFIX} QUIET IMPORTED_TARGET GLOBAL ${MODULE})
    if(NOT ${PREFIX}_FOUND)
        message(FATAL_ERROR "Twinstep needs ${MODULE}: install the Debian package ${PACKAGE} "
                            "(all packages: tools/packages-build.txt; ./check installs them).")
    endif()
endfunction()

ts_pkg(UV libuv libuv1-dev)
ts_pkg(LZ4 liblz4 liblz4-dev)
ts_pkg(CMOCKA cmocka libcmocka-dev)
ts_pkg(YAML yaml-0.1 libyaml-dev)
ts_pkg(JANSSON jansson libjansson-dev)
ts_pkg(ISAL libisal libisal-dev)
ts_pkg(MICROHTTPD libmicrohttpd libmicrohttpd-dev)
ts_pkg(XXHASH libxxhash libxxhash-dev)

find_package(OpenSSL 3.0 QUIET)
if(NOT OpenSSL_FOUND)
    message(FATAL_ERROR "Twinstep needs OpenSSL 3: install the Debian package libssl-dev.")
endif()
find_package(nng QUIET CONFIG)
if(NOT nng_FOUND)
    message(FATAL_ERROR "Twinstep needs NNG: install the Debian package libnng-dev.")
endif()
find_package(Threads REQUIRED)
