/* Back-ends of a lab that are engines of containers: what is said to podman and docker, the file
 * for docker compose, what is in the image, and what DIR/lab.engine keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lab/engine.h"
#include "lab/image.h"
#include "lab/scratch.h"

static struct ts_why why;
static struct lab_words words;
static const struct lab_engine podman = {.backend = LAB_BACKEND_PODMAN,
                                         .cgroupfs = true,
                                         .runc = true,
                                         .files = 20000,
                                         .procs = 1000,
                                         .id = "0123456789abcdef",
                                         .image = "twinstep-lab:77",
                                         .bin = "/opt/bin"};
static const struct lab_engine docker = {.backend = LAB_BACKEND_DOCKER,
                                         .compose = true,
                                         .id = "0123456789abcdef",
                                         .image = "twinstep-lab:77",
                                         .bin = "/opt/b$n"};

/* The words, with a space between two of them. */
static const char *line(void)
{
    static char text[LAB_WORDS_BYTES];
    size_t len = 0;
    assert_false(words.full);
    for (size_t i = 0; i < words.count; i++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", i > 0 ? " " : "",
                                words.argv[i]);
    }
    assert_null(words.argv[words.count]);
    return text;
}

static void test_backend_read_takes_names_only(void **state)
{
    (void)state;
    enum lab_backend b = LAB_BACKEND_NETNS;
    assert_true(lab_backend_read("docker", &b));
    assert_int_equal(b, LAB_BACKEND_DOCKER);
    assert_string_equal(lab_backend_text(LAB_BACKEND_PODMAN), "podman");
    assert_false(lab_backend_read("", &b));
    assert_false(lab_backend_read("Podman", &b));
}

/* Goal: a machine has no network but the lab's, no rights but a node's, and no files but the
 * image's and the lab's. */
static void test_run_words_of_podman(void **state)
{
    (void)state;
    lab_engine_run_words(&podman, "nic1", "/tmp/l", &words);
    assert_string_equal(
        line(),
        "podman --runtime=runc --cgroup-manager=cgroupfs run --detach --rm --pull=never "
        "--name=twinstep-0123456789abcdef-nic1 --hostname=nic1 --network=none "
        "--label=twinstep.lab=0123456789abcdef --label=twinstep.lab.dir=/tmp/l --read-only "
        "--tmpfs=/run --tmpfs=/tmp --shm-size=1g --security-opt=label=disable --cap-drop=ALL "
        "--cap-add=SYS_NICE --cap-add=IPC_LOCK --cap-add=NET_ADMIN --cap-add=NET_RAW "
        "--ulimit=nofile=20000:20000 --ulimit=nproc=1000:1000 "
        "--mount=type=bind,source=/tmp/l,target=/tmp/l twinstep-lab:77 /opt/bin/labd --machine "
        "nic1 /tmp/l");
}

/* Goal: programs in a folder that is empty in a machine are not hidden. */
static void test_run_words_do_not_hide_the_programs(void **state)
{
    (void)state;
    struct lab_engine e = podman;
    (void)snprintf(e.bin, sizeof(e.bin), "/tmp/build/bin");
    lab_engine_run_words(&e, "nic1", "/tmp/l", &words);
    assert_non_null(strstr(line(), " --tmpfs=/run "));
    assert_null(strstr(line(), "--tmpfs=/tmp "));
    (void)snprintf(e.bin, sizeof(e.bin), "/tmpfiles");
    lab_engine_run_words(&e, "nic1", "/tmp/l", &words);
    assert_non_null(strstr(line(), " --tmpfs=/tmp "));
}

/* Goal: docker hears nothing that only podman knows. */
static void test_run_words_of_docker(void **state)
{
    (void)state;
    struct lab_engine cgroupless = podman;
    lab_engine_run_words(&docker, "nic1", "/tmp/l", &words);
    const char *said = line();
    assert_int_equal(strncmp(said, "docker run --detach ", 20), 0);
    assert_null(strstr(said, "ulimit"));
    assert_null(strstr(said, "cgroup"));
    cgroupless.no_cgroups = true;
    lab_engine_run_words(&cgroupless, "nic1", "/tmp/l", &words);
    assert_non_null(strstr(line(), " --cgroups=disabled "));
}

/* Goal: a command has the failing disk and the project's own settings, and nothing else of this
 * environment. */
static void test_exec_words_hand_on_what_is_ours(void **state)
{
    (void)state;
    char a[] = "LD_PRELOAD=/b/labdisk.so";
    char b[] = "HOME=/root";
    char c[] = "LABDISK_DIR=/tmp/l";
    char d[] = "XLD_PRELOAD=1";
    char e[] = "LABHOST_DIR=/tmp/l";
    char *const environment[] = {a, b, c, d, e, NULL};
    lab_engine_exec_words(&podman, "nic2", "/tmp/l", false, environment, &words);
    assert_string_equal(line(),
                        "podman --runtime=runc --cgroup-manager=cgroupfs exec --interactive "
                        "--workdir=/tmp/l --env=LD_PRELOAD=/b/labdisk.so "
                        "--env=LABDISK_DIR=/tmp/l --env=LABHOST_DIR=/tmp/l --env=TWINSTEP_LAB=nic2 "
                        "twinstep-0123456789abcdef-nic2");
    lab_engine_exec_words(&docker, "nic2", "/", true, environment, &words);
    assert_non_null(strstr(line(), " --tty "));
}

/* Goal: more than fits is noticed, not cut. */
static void test_words_that_do_not_fit(void **state)
{
    (void)state;
    lab_engine_words(&docker, &words);
    for (size_t i = 0; i < LAB_WORDS_MAX; i++) {
        lab_word(&words, "x");
    }
    assert_true(words.full);
    assert_int_equal(lab_engine_call(&words, -1, NULL, 0, &why), TS_ERR_LIMIT);
    lab_engine_words(&docker, &words);
    assert_false(words.full);
    lab_word(&words, "%*d", LAB_WORDS_BYTES, 1);
    assert_true(words.full);
}

/* Goal: compose is told the same as docker; its variables are not put in. */
static void test_compose_of_a_lab(void **state)
{
    (void)state;
    static struct lab_topology t = {
        .machine_count = 2,
        .machines = {{.name = "nic1", .path_count = 2}, {.name = "arb1", .path_count = 1}},
    };
    json_t *o = lab_engine_compose(&docker, &t, "/tmp/a$b");
    json_t *services = json_object_get(o, "services");
    assert_int_equal(json_object_size(services), 2);
    json_t *nic = json_object_get(services, "nic1");
    char *text = json_dumps(nic, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(
        text,
        "{\"cap_add\":[\"SYS_NICE\",\"IPC_LOCK\",\"NET_ADMIN\",\"NET_RAW\"],\"cap_drop\":[\"ALL\"],"
        "\"command\":[\"/opt/b$$n/labd\",\"--machine\",\"nic1\",\"/tmp/a$$b\"],"
        "\"container_name\":\"twinstep-0123456789abcdef-nic1\",\"hostname\":\"nic1\","
        "\"image\":\"twinstep-lab:77\",\"labels\":{\"twinstep.lab\":\"0123456789abcdef\","
        "\"twinstep.lab.dir\":\"/tmp/a$$b\"},\"network_mode\":\"none\",\"read_only\":true,"
        "\"security_opt\":[\"label=disable\"],\"shm_size\":\"1g\",\"tmpfs\":[\"/run\",\"/tmp\"],"
        "\"volumes\":[{\"source\":\"/tmp/a$$b\",\"target\":\"/tmp/a$$b\",\"type\":\"bind\"}]}");
    free(text);
    json_decref(o);
}

static void test_directory_that_cannot_be_mounted(void **state)
{
    (void)state;
    assert_int_equal(lab_engine_takes_dir("/tmp/a b:c=d", &why), TS_OK);
    assert_int_equal(lab_engine_takes_dir("/tmp/a,b", &why), TS_ERR_CONFIG);
    assert_non_null(strstr(why.text, "choose another --dir"));
}

/* Goal: what is kept is read again; without a file there is no engine, a damaged one is refused. */
static void test_engine_load_gives_what_was_saved(void **state)
{
    (void)state;
    char dir[LAB_SCRATCH_MAX];
    char path[TS_PATH_MAX];
    struct lab_engine read;
    assert_int_equal(lab_scratch_make("engine", dir), TS_OK);
    assert_int_equal(lab_engine_load(dir, &read, &why), TS_OK);
    assert_int_equal(read.backend, LAB_BACKEND_NETNS);
    assert_int_equal(lab_engine_save(&podman, dir, &why), TS_OK);
    assert_int_equal(lab_engine_load(dir, &read, &why), TS_OK);
    assert_int_equal(read.backend, LAB_BACKEND_PODMAN);
    assert_true(read.runc && read.cgroupfs && !read.no_cgroups && !read.compose);
    assert_int_equal(read.files, 20000);
    assert_string_equal(read.id, podman.id);
    assert_string_equal(read.image, podman.image);
    assert_string_equal(read.bin, podman.bin);
    assert_int_equal(ts_path(path, &why, dir, LAB_ENGINE_FILE), TS_OK);
    assert_int_equal(ts_file_replace(path, "{}", 2, 0644, &why), TS_OK);
    assert_int_equal(lab_engine_load(dir, &read, &why), TS_ERR_MALFORMED);
    assert_non_null(strstr(why.text, "is damaged"));
    lab_scratch_remove(dir);
}

/* Goal: each library once, in its own place; what is missing is named. */
static void test_libraries_of_ldd(void **state)
{
    (void)state;
    struct lab_image *image = calloc(1, sizeof(*image));
    char good[] = "/opt/bin/nicd:\n"
                  "\tlinux-vdso.so.1 (0x00007f)\n"
                  "\tlibuv.so.1 => /lib/x/libuv.so.1 (0x00007f)\n"
                  "\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n"
                  "/opt/bin/static:\n"
                  "\tnot a dynamic executable\n"
                  "/opt/bin/labd:\n"
                  "\tlibuv.so.1 => /lib/x/libuv.so.1 (0x00007e)\n";
    char bad[] = "\tlibisal.so.2 => not found\n";
    assert_non_null(image);
    assert_int_equal(lab_image_add(image, "/opt/bin/nicd", "/opt/bin/nicd", &why), TS_OK);
    assert_int_equal(lab_image_add_libraries(image, good, &why), TS_OK);
    assert_int_equal(image->count, 3);
    assert_string_equal(image->files[1].to, "/lib/x/libuv.so.1");
    assert_string_equal(image->files[2].from, "/lib64/ld-linux-x86-64.so.2");
    assert_int_equal(lab_image_add_libraries(image, bad, &why), TS_ERR_NOT_FOUND);
    assert_non_null(strstr(why.text, "libisal.so.2"));
    free(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backend_read_takes_names_only),
        cmocka_unit_test(test_run_words_of_podman),
        cmocka_unit_test(test_run_words_do_not_hide_the_programs),
        cmocka_unit_test(test_run_words_of_docker),
        cmocka_unit_test(test_exec_words_hand_on_what_is_ours),
        cmocka_unit_test(test_words_that_do_not_fit),
        cmocka_unit_test(test_compose_of_a_lab),
        cmocka_unit_test(test_directory_that_cannot_be_mounted),
        cmocka_unit_test(test_engine_load_gives_what_was_saved),
        cmocka_unit_test(test_libraries_of_ldd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
