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
ts_pkg(MNL libmnl libmnl-dev)
ts_pkg(NFTABLES libnftables libnftables-dev)
ts_pkg(CURL libcurl libcurl4-openssl-dev)
ts_pkg(XXHASH libxxhash libxxhash-dev)
ts_pkg(NGHTTP2 libnghttp2 libnghttp2-dev)

# It says nothing of itself to pkg-config.
find_library(HTTP_PARSER_LIBRARY http_parser)
find_path(HTTP_PARSER_INCLUDE http_parser.h)
if(NOT HTTP_PARSER_LIBRARY OR NOT HTTP_PARSER_INCLUDE)
    message(FATAL_ERROR "Twinstep needs http-parser: install the Debian package libhttp-parser-dev.")
endif()
add_library(HttpParser::HttpParser UNKNOWN IMPORTED)
set_target_properties(HttpParser::HttpParser PROPERTIES
    IMPORTED_LOCATION ${HTTP_PARSER_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${HTTP_PARSER_INCLUDE})

find_package(OpenSSL 3.0 QUIET)
if(NOT OpenSSL_FOUND)
    message(FATAL_ERROR "Twinstep needs OpenSSL 3: install the Debian package libssl-dev.")
endif()
find_package(nng QUIET CONFIG)
if(NOT nng_FOUND)
    message(FATAL_ERROR "Twinstep needs NNG: install the Debian package libnng-dev.")
endif()
find_package(Threads REQUIRED)
