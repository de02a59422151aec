# Writes OUT: a C file with the text of FILES (paths, separated by "|") as the array ARRAY of
# lab/shipped.h.
set(c "#include \"lab/shipped.h\"\n\nconst struct lab_shipped ${ARRAY}[] = {\n")
string(REPLACE "|" ";" files "${FILES}")
foreach(file IN LISTS files)
    get_filename_component(name ${file} NAME_WE)
    file(READ ${file} text) # no list of lines: a bracket left open would join some
    string(REPLACE "\\" "\\\\" text "${text}")
    string(REPLACE "\"" "\\\"" text "${text}")
    string(REPLACE "\n" "\\n\"\n     \"" text "${text}")
    string(APPEND c "    {\"${name}\",\n     \"${text}\"\n")
    string(APPEND c "    },\n")
endforeach()
string(APPEND c "    {0},\n};\n")
file(WRITE ${OUT} "${c}")
