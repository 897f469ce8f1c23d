#!/usr/bin/env bash
# tests/mutate.awk changes code, one place at a time, and neither comments nor texts, errors or
# allocations; the same mutation has the same identity wherever its line is.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

cat > "$dir/a.c" << 'END'
/* a + 1 */
#define TWICE(a) (2 * (a))
int f(int a, int b)
{
    if (a < b) /* a * b */
        return sftn_fail(err, "a + 1",
                         a + 1);
    char text[7];
    p = malloc(n * 2);
    puts("a - b");
    x = sftn_scale(g, x, 2.5f);
    return g(a, b) - 3;
}
END
(cd "$dir" && awk -v seed=1 -f "$OLDPWD/tests/mutate.awk" a.c) > "$dir/found"
cut -f 5,7 "$dir/found" | LC_ALL=C sort > "$dir/after"
diff "$dir/after" - << 'END'
11	x = sftn_scale(g, 2.5f, x);
11	x = sftn_scale(g, x, 3.5f);
11	x = x;
12	return g(a, b) + 3;
12	return g(a, b) - 4;
12	return g(b, a) - 3;
5	if (!(a < b)) /* a * b */
5	if (a <= b) /* a * b */
END

sed '1i/* another line */' "$dir/a.c" > "$dir/b.c"
mv "$dir/b.c" "$dir/a.c"
(cd "$dir" && awk -v seed=2 -f "$OLDPWD/tests/mutate.awk" a.c) > "$dir/moved"
diff <(cut -f 3 "$dir/found") <(cut -f 3 "$dir/moved")
