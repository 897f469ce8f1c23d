/* cores: quotas of control groups, of both versions, from files as the system writes them. */
#include "base/base.h"
#include "test.h"

#include <sched.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *root;

static void write_file(const char *dir, const char *name, const char *text)
{
    sftn_error err = {.status = SFTN_OK};
    char path[512];
    FILE *f;

    snprintf(path, sizeof path, "%s%s", root, dir);
    CHECK_OK(sftn_make_dirs(path, &err), &err);
    snprintf(path, sizeof path, "%s%s/%s", root, dir, name);
    f = fopen(path, "w");
    CHECK(f != NULL);
    fputs(text, f);
    CHECK_INT(fclose(f), 0);
}

static void new_root(const char *name, const char *groups, const char *mounts)
{
    root = test_temp_path(name);
    write_file("/proc/self", "cgroup", groups);
    write_file("/proc/self", "mountinfo", mounts);
}

static const char v2_mounts[] =
    "21 1 0:20 / / rw,relatime shared:1 - ext4 /dev/vda rw,cpu\n"
    "30 21 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

TEST(without_control_groups_there_is_no_quota)
{
    root = test_temp_path("nothing");
    CHECK_INT(sftn_cores_quota(root), 0);
}

TEST(a_quota_of_version_2_is_rounded_up_and_the_groups_above_count)
{
    new_root("v2", "0::/user.slice/job\n", v2_mounts);
    write_file("/sys/fs/cgroup/user.slice/job", "cpu.max", "max 100000\n");
    write_file("/sys/fs/cgroup/user.slice", "cpu.max", "max 100000\n");
    CHECK_INT(sftn_cores_quota(root), 0);
    write_file("/sys/fs/cgroup/user.slice/job", "cpu.max", "350000 100000\n");
    CHECK_INT(sftn_cores_quota(root), 4);
    write_file("/sys/fs/cgroup/user.slice", "cpu.max", "200000 100000\n");
    CHECK_INT(sftn_cores_quota(root), 2);
    write_file("/sys/fs/cgroup/user.slice/job", "cpu.max", "5000 100000\n");
    CHECK_INT(sftn_cores_quota(root), 1);
}

TEST(a_container_that_sees_its_group_as_the_root_has_its_quota)
{
    new_root("v2-container", "0::/\n", v2_mounts);
    write_file("/sys/fs/cgroup", "cpu.max", "150000 50000\n");
    CHECK_INT(sftn_cores_quota(root), 3);
}

static const char v1_groups[] = "12:cpuset:/\n"
                                "4:cpuacct,cpu:/docker/4f1e\n"
                                "1:name=systemd:/docker/4f1e\n"
                                "0::/docker/4f1e\n";

TEST(a_quota_of_version_1_is_found_under_the_mount_of_its_controller)
{
    new_root("v1", v1_groups,
             "33 21 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
             "34 21 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n");
    write_file("/sys/fs/cgroup/cpu,cpuacct", "cpu.cfs_quota_us", "-1\n");
    write_file("/sys/fs/cgroup/cpu,cpuacct", "cpu.cfs_period_us", "100000\n");
    CHECK_INT(sftn_cores_quota(root), 0);
    write_file("/sys/fs/cgroup/cpu,cpuacct/docker/4f1e", "cpu.cfs_quota_us", "120000\n");
    write_file("/sys/fs/cgroup/cpu,cpuacct/docker/4f1e", "cpu.cfs_period_us", "100000\n");
    CHECK_INT(sftn_cores_quota(root), 2);
}

TEST(a_container_of_version_1_has_its_own_group_mounted)
{
    new_root("v1-container", v1_groups,
             "34 21 0:30 /docker/4f1e /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n");
    write_file("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "400000\n");
    write_file("/sys/fs/cgroup/cpu", "cpu.cfs_period_us", "100000\n");
    CHECK_INT(sftn_cores_quota(root), 4);
}

TEST(what_cannot_be_read_as_a_quota_is_none)
{
    static const char *const texts[] = {"", "x", "0 100000", "-1 100000", "100000", "100000 0",
                                        "1e300 1", "nan nan"};

    new_root("unreadable", "0::/\n", v2_mounts);
    for (size_t i = 0; i < SFTN_COUNT(texts); i++) {
        write_file("/sys/fs/cgroup", "cpu.max", texts[i]);
        CHECK_INT(sftn_cores_quota(root), 0);
    }
}

/* In a child, as the number is looked up once. */
TEST(one_core_of_affinity_is_one_core)
{
    int status = -1;
    const pid_t child = fork();

    CHECK(child >= 0);
    if (child == 0) {
        cpu_set_t set;

        CPU_ZERO(&set);
        CPU_SET((size_t)sched_getcpu(), &set);
        if (sched_setaffinity(0, sizeof set, &set) != 0)
            _exit(2);
        _exit(sftn_cores() == 1 ? 0 : 1);
    }
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
