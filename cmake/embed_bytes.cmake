# Writes OUT: a C file with the bytes of FILE as `const unsigned char NAME[]` and `const size_t NAME_len`.
file(READ ${FILE} hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR len "${digits} / 2")
string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
file(WRITE ${OUT} "#include <stddef.h>\n\nextern const unsigned char ${NAME}[];\nextern const size_t ${NAME}_len;\nconst unsigned char ${NAME}[] = {\n${hex}};\nconst size_t ${NAME}_len = ${len};\n")
