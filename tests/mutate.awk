# mutate.awk: lists the mutations of C files that tests/mutate knows, one a line, fields parted by
# tabs: folder, order (by -v seed=N), identity, file, line, text before, text after.
#
# An identity is made of text, not of line numbers, so that it outlives changes elsewhere.  Never
# mutated: comments, strings, the preprocessor, statements that only make an error's text,
# allocations and what checks them, ranges of options, sizes of texts.

BEGIN {
    OFS = "\t"
    for (i = 1; i < 256; i++)
        code[sprintf("%c", i)] = i
    name_pattern = "[A-Za-z_][A-Za-z_0-9]*"

    pair(" + ", " - "); pair(" - ", " + "); pair(" * ", " / "); pair(" / ", " * ")
    pair(" += ", " -= "); pair(" -= ", " += "); pair(" *= ", " /= "); pair(" /= ", " *= ")
    pair(" < ", " <= "); pair(" <= ", " < "); pair(" > ", " >= "); pair(" >= ", " > ")
    pair(" == ", " != "); pair(" != ", " == "); pair(" && ", " || "); pair(" || ", " && ")
    pair(" % ", " / "); pair(" << ", " >> "); pair(" >> ", " << ")
    pair("sftn_add(", "sftn_sub("); pair("sftn_sub(", "sftn_add(")
    pair("sftn_mul(", "sftn_div("); pair("sftn_div(", "sftn_mul(")
    pair("sftn_sum(", "sftn_mean("); pair("sftn_mean(", "sftn_sum(")
    pair("SFTN_AXIS_C,", "SFTN_AXIS_N,"); pair("SFTN_AXIS_C)", "SFTN_AXIS_N)")
    pair("SFTN_AXIS_N,", "SFTN_AXIS_C,"); pair("SFTN_AXIS_N)", "SFTN_AXIS_C)")
    pair("[SFTN_N]", "[SFTN_C]"); pair("[SFTN_C]", "[SFTN_N]")
    pair("true", "false"); pair("false", "true")
    pair("fabs(", "("); pair("fabsf(", "("); pair("sqrt(", "("); pair("sqrtf(", "(")
    pair(" = -", " = "); pair("(-", "("); pair(", -", ", "); pair("return -", "return ")

    # Calls f(g, x, ...) that may be left out, x staying.
    split("sftn_scale sftn_shift sftn_neg sftn_detach sftn_relu sftn_abs sftn_sqrt sftn_square " \
          "sftn_exp sftn_log sftn_clamp", left_out, " ")
    # Calls whose value does not depend on the order of operands.
    symmetric = "sftn_(add|mul|mse|same_shape|shape_equal)|fm(ax|in)f?|strcmp|memcmp"
}

FNR == 1 {
    finish()
    file = FILENAME
}
{ text[FNR] = $0; nlines = FNR }
END { finish() }

function pair(from, to) { find[++npairs] = from; put[npairs] = to }

# The line with comments and texts blanked: the same length, so that positions agree.
function mask(s,    i, c, two, out, quote)
{
    out = ""
    quote = ""
    for (i = 1; i <= length(s); i++) {
        c = substr(s, i, 1)
        two = substr(s, i, 2)
        if (in_comment || two == "/*") {
            if (two == "*/") {
                in_comment = 0
                out = out "  "
                i++
            } else {
                in_comment = 1
                out = out " "
            }
        } else if (quote != "") {
            out = out "_"
            if (c == "\\") {
                out = out "_"
                i++
            } else if (c == quote)
                quote = ""
        } else if (c == "\"" || c == "'") {
            quote = c
            out = out "_"
        } else
            out = out c
    }
    return out
}

# Lines that are not mutated, beside those that are blank after masking.
function left_alone(m, i)
{
    if (in_macro || m ~ /^[ \t]*#/) {
        in_macro = m ~ /\\$/
        return 1
    }
    if (in_error || m ~ /(sftn_fail|sftn_graph_fail|snprintf)\(/) {
        in_error = m !~ /;[ \t]*$/
        return 1
    }
    return m ~ /NULL|alloc\(|sizeof|strdup|assert|char [a-z_]*\[|^(static )?const char/ ||
           text[i] text[i + 1] text[i + 2] ~ /SFTN_ERR_MEMORY|out of memory/
}

function hash(s, h,    i)
{
    for (i = 1; i <= length(s); i++)
        h = (h * 257 + code[substr(s, i, 1)]) % 2147483647
    return h
}

function trim(s)
{
    gsub(/^[ \t]+|[ \t]+$/, "", s)
    return s
}

# The current line with `with` instead of `length_` characters at `start`.
function emit(start, length_, with,    after, id)
{
    after = substr(line, 1, start - 1) with substr(line, start + length_)
    id = file "|" seen_before "|" start "|" line "|" after
    id = sprintf("%08x%08x", hash(id, 1), hash(id, 7))
    print folder, sprintf("%010d", hash(seed "|" id, 3)), id, file, number, trim(line), trim(after)
}

# Position of the parenthesis that closes the one at `open`; 0 where it is not on this line.
function closing(m, open,    i, c, depth)
{
    for (i = open; i <= length(m); i++) {
        c = substr(m, i, 1)
        depth += c == "(" ? 1 : c == ")" ? -1 : 0
        if (depth == 0)
            return i
    }
    return 0
}

# Arguments of the call whose parenthesis is at `open` into from[], upto[]; their number.
function arguments(m, open,    end, i, c, depth, n)
{
    end = closing(m, open)
    if (!end)
        return 0
    from[n = 1] = open + 1
    for (i = open + 1; i < end; i++) {
        c = substr(m, i, 1)
        depth += c ~ /[({\[]/ ? 1 : c ~ /[])}]/ ? -1 : 0
        if (c == "," && depth == 0) {
            upto[n++] = i - 1
            from[n] = i + 2
        }
    }
    upto[n] = end - 1
    return n
}

function swap_pairs(m,    p, at, rest)
{
    for (p = 1; p <= npairs; p++)
        for (at = 1; (rest = index(substr(m, at), find[p])) > 0; at += rest) {
            # m has one blank more than the line at its beginning
            if (find[p] !~ /^[A-Za-z]/ || substr(m, at + rest - 2, 1) !~ /[A-Za-z_0-9]/)
                if (find[p] !~ /[a-z]$/ ||
                    substr(m, at + rest - 1 + length(find[p]), 1) !~ /[A-Za-z_0-9]/)
                    emit(at + rest - 2, length(find[p]), put[p])
        }
}

# 0 -> 1, 1 -> 2, 2.5f -> 3.5f, 1e-8f -> 1e-3f
function change_constants(m,    at, n, c, tail)
{
    if (m ~ /^ *[a-z_0-9]+ ([a-z_0-9]+, )*[a-z_0-9]+\[[^=]*;/) # lengths of declared arrays
        return
    for (at = 1; match(substr(m, at), /[0-9]+(\.[0-9]+)?(e-?[0-9]+)?f?/); at += n) {
        at += RSTART - 1
        n = RLENGTH
        c = substr(m, at, n)
        if (substr(m, at - 1, 1) ~ /[A-Za-z_0-9.]/ || substr(m, at + n, 1) ~ /[A-Za-z_0-9.]/ ||
            (m ~ /SFTN_OPT_/ && substr(m, at - 3, 3) != "), ")) # the default alone
            continue
        tail = c ~ /f$/ ? "f" : ""
        if (c ~ /e/)
            c = "1e-3"
        else if (c ~ /\./)
            c = sprintf("%.10g", m ~ /OPT_BOOL/ ? 1 - c : c + 1) (c ~ /\.0+f?$/ ? ".0" : "")
        else
            c = c + 1
        emit(at - 1, n, c tail)
    }
}

# a + 1 -> a, a * b -> a, a / b -> a
function drop_factors(m,    at, operand)
{
    operand = "(" name_pattern "|[0-9][0-9.e]*f?)((->|\\.)" name_pattern "|\\[[^]]*\\])*"
    for (at = 1; match(substr(m, at), " ([-+] 1|[*/] " operand ")"); at += RSTART) {
        if (substr(m, at + RSTART + RLENGTH - 1, 1) !~ /[A-Za-z_0-9.(\[]/)
            emit(at + RSTART - 2, RLENGTH, "")
    }
}

# f(g, a, b) -> f(g, b, a)
function swap_operands(m,    at, open, name, n, k, a, b)
{
    for (at = 1; match(substr(m, at), name_pattern "\\("); at += RLENGTH) {
        at += RSTART - 1
        open = at + RLENGTH - 1
        name = substr(m, at, RLENGTH - 1)
        if (name ~ "^(" symmetric ")$")
            continue
        n = arguments(m, open)
        match(substr(m, at), name_pattern "\\(")
        for (k = 1; k < n; k++) {
            a = substr(m, from[k], upto[k] - from[k] + 1)
            b = substr(m, from[k + 1], upto[k + 1] - from[k + 1] + 1)
            if (a != b && (a b) !~ /_/ && a !~ /^(g|s|err|a->g)$/ &&
                a ~ /^[A-Za-z0-9.>\[\]-]+$/ && b ~ /^[A-Za-z0-9.>\[\]-]+$/)
                emit(from[k] - 1, upto[k + 1] - from[k] + 1, b ", " a)
        }
    }
}

# f(g, x, ...) -> x
function leave_calls_out(m,    k, at, rest, start, n)
{
    for (k in left_out)
        for (at = 1; (rest = index(substr(m, at), left_out[k] "(")) > 0; at += rest) {
            start = at + rest - 1
            n = arguments(m, start + length(left_out[k]))
            if (n >= 2)
                emit(start - 1, upto[n] + 2 - start,
                     substr(line, from[2] - 1, upto[2] - from[2] + 1))
        }
}

# if (c) -> if (!(c)), !c -> c
function negate_conditions(m,    open, end, at)
{
    if (match(m, /if \(/) && (open = RSTART + 3) && (end = closing(m, open)))
        emit(open - 1, end - open + 1, "(!" substr(line, open - 1, end - open + 1) ")")
    for (at = 1; match(substr(m, at), /![A-Za-z_(]/); at += RSTART)
        emit(at + RSTART - 2, 1, "")
}

function finish(    i, m)
{
    in_comment = in_macro = in_error = 0
    split("", occurrences)
    folder = file
    sub(/\/[^\/]*$/, "", folder)
    for (i = 1; i <= nlines; i++) {
        m = " " mask(text[i]) " "
        if (left_alone(substr(m, 2), i) || m !~ /[^ ]/)
            continue
        line = text[i]
        number = i
        seen_before = occurrences[line]++
        swap_pairs(m)
        change_constants(m)
        drop_factors(m)
        swap_operands(m)
        leave_calls_out(m)
        negate_conditions(m)
    }
    nlines = 0
}
