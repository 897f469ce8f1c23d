/*
 * grid: rows of cells, written as aligned text, Markdown or CSV (RFC 4180).
 */
#include "report/grid.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_cell(sftn_grid *grid, const char *text)
{
    char *copy = sftn_pool_strdup(&grid->pool, text);

    if (!copy || !sftn_grow(&grid->cell, &grid->capacity, grid->n + 1, sizeof *grid->cell))
        grid->failed = true;
    else
        grid->cell[grid->n++] = copy;
}

void sftn_grid_column(sftn_grid *grid, bool right, const char *title)
{
    grid->right[grid->columns++] = right;
    add_cell(grid, title);
}

void sftn_grid_cell(sftn_grid *grid, const char *format, ...)
{
    char text[512];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    add_cell(grid, text);
}

void sftn_grid_close(sftn_grid *grid)
{
    sftn_pool_free(&grid->pool);
    free(grid->cell);
    *grid = (sftn_grid){0};
}

/* Characters, not bytes, of UTF-8. */
static int width_of(const char *text)
{
    int width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xC0u) != 0x80u;
    return width;
}

static void add_spaces(sftn_strbuf *out, int n)
{
    sftn_strbuf_add(out, "%*s", n, "");
}

static void write_text(const sftn_grid *grid, const int *width, sftn_strbuf *out)
{
    for (int i = 0; i < grid->n; i++) {
        const int column = i % grid->columns;
        const bool last = column == grid->columns - 1;
        const int pad = width[column] - width_of(grid->cell[i]);

        if (column > 0 && (!last || grid->cell[i][0]))
            add_spaces(out, 2);
        if (grid->right[column])
            add_spaces(out, pad);
        sftn_strbuf_add(out, "%s", grid->cell[i]);
        if (!grid->right[column] && !last)
            add_spaces(out, pad);
        if (last)
            sftn_strbuf_add(out, "\n");
    }
}

static void write_markdown(const sftn_grid *grid, sftn_strbuf *out)
{
    for (int i = 0; i < grid->n; i++) {
        sftn_strbuf_add(out, i % grid->columns ? " " : "| ");
        for (const char *p = grid->cell[i]; *p; p++)
            sftn_strbuf_add(out, *p == '|' ? "\\%c" : "%c", *p);
        sftn_strbuf_add(out, " |");
        if ((i + 1) % grid->columns != 0)
            continue;
        sftn_strbuf_add(out, "\n");
        for (int column = 0; column < grid->columns && i < grid->columns; column++)
            sftn_strbuf_add(out, "%s %s |%s", column ? "" : "|",
                            grid->right[column] ? "---:" : "---",
                            column == grid->columns - 1 ? "\n" : "");
    }
}

static void write_csv(const sftn_grid *grid, sftn_strbuf *out)
{
    for (int i = 0; i < grid->n; i++) {
        const char *quote = strpbrk(grid->cell[i], ",\"\r\n") ? "\"" : "";

        sftn_strbuf_add(out, "%s%s", i % grid->columns ? "," : "", quote);
        for (const char *p = grid->cell[i]; *p; p++)
            sftn_strbuf_add(out, *p == '"' ? "\"%c" : "%c", *p);
        sftn_strbuf_add(out, "%s%s", quote, (i + 1) % grid->columns ? "" : "\r\n");
    }
}

void sftn_grid_write(const sftn_grid *grid, sftn_table_format format, sftn_strbuf *out)
{
    int width[SFTN_GRID_COLUMNS] = {0};

    for (int i = 0; i < grid->n; i++) {
        const int w = width_of(grid->cell[i]), column = i % grid->columns;

        width[column] = w > width[column] ? w : width[column];
    }
    if (format == SFTN_TABLE_MARKDOWN)
        write_markdown(grid, out);
    else if (format == SFTN_TABLE_CSV)
        write_csv(grid, out);
    else
        write_text(grid, width, out);
    out->failed = out->failed || grid->failed;
}
