/*
 * grid.h: rows of cells, written as text, Markdown or CSV.
 */
#ifndef SFTN_REPORT_GRID_H
#define SFTN_REPORT_GRID_H

#include "base/base.h"
#include "sftn/report.h"

enum { SFTN_GRID_COLUMNS = 32 };

typedef struct sftn_grid {
    int columns;
    bool right[SFTN_GRID_COLUMNS]; /* numbers: aligned to the right */
    sftn_pool pool;
    char **cell; /* row by row, the first of titles */
    int n, capacity;
    bool failed; /* out of memory */
} sftn_grid;

/* A column; all of them before the first cell. */
void sftn_grid_column(sftn_grid *grid, bool right, const char *title);
/* The next cell of the current row. */
void sftn_grid_cell(sftn_grid *grid, const char *format, ...) SFTN_PRINTF(2, 3);
/* As text, Markdown or CSV, after what out holds. */
void sftn_grid_write(const sftn_grid *grid, sftn_table_format format, sftn_strbuf *out);
void sftn_grid_close(sftn_grid *grid);

#endif
