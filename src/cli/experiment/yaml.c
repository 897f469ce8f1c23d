/* yaml.c: a YAML file as a tree whose nodes know their lines, and what is wrong with it. */
#include "cli/experiment/experiment.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

bool add_element(void *array_pointer, int n, size_t size)
{
    void **array = array_pointer;

    /* Room for a power of two. */
    if ((n & (n - 1)) == 0) {
        void *larger = realloc(*array, (n ? 2 * (size_t)n : 1) * size);

        if (!larger)
            return false;
        *array = larger;
    }
    memset((char *)*array + (size_t)n * size, 0, size);
    return true;
}

void problem_add(problems *p, int line, const char *format, ...)
{
    problem q = {.line = line};
    va_list list;

    va_start(list, format);
    vsnprintf(q.text, sizeof q.text, format, list);
    va_end(list);
    for (int i = 0; i < p->n; i++)
        if (p->list[i].line == line && strcmp(p->list[i].text, q.text) == 0)
            return;
    if (add_element(&p->list, p->n, sizeof *p->list))
        p->list[p->n++] = q;
    else
        p->no_memory = true;
}

static int by_line(const void *a, const void *b)
{
    const problem *x = a, *y = b;

    return x->line != y->line ? (x->line > y->line) - (x->line < y->line)
                              : strcmp(x->text, y->text);
}

int problems_print(problems *p)
{
    if (p->no_memory)
        return cli_fail(&(sftn_error){SFTN_ERR_MEMORY, "out of memory"});
    qsort(p->list, (size_t)p->n, sizeof *p->list, by_line);
    for (int i = 0; i < p->n; i++)
        cli_misuse("%s, line %d: %s", p->file, p->list[i].line, p->list[i].text);
    return CLI_USAGE;
}

int yaml_line(const yaml_node_t *node)
{
    return (int)node->start_mark.line + 1;
}

const char *yaml_text(const yaml_node_t *node, const char *what, problems *p)
{
    const char *text = (const char *)node->data.scalar.value;

    if (node->type != YAML_SCALAR_NODE) {
        problem_add(p, yaml_line(node), "%s is a %s, expected a single value", what,
                    node->type == YAML_MAPPING_NODE ? "mapping" : "list");
        return NULL;
    }
    if (strlen(text) != node->data.scalar.length) {
        problem_add(p, yaml_line(node), "%s holds a zero character", what);
        return NULL;
    }
    if (!text[0] || (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
                     (strcmp(text, "~") == 0 || strcmp(text, "null") == 0))) {
        problem_add(p, yaml_line(node), "%s has no value", what);
        return NULL;
    }
    return text;
}

bool yaml_read(const char *path, yaml_document_t *document, problems *p)
{
    yaml_parser_t parser;
    yaml_document_t next;
    FILE *file = fopen(path, "rbe");
    bool ok = false;

    if (!file) {
        problem_add(p, 1, "the file cannot be opened: %s", strerror(errno));
        return false;
    }
    if (!yaml_parser_initialize(&parser)) {
        fclose(file);
        p->no_memory = true;
        return false;
    }
    yaml_parser_set_input_file(&parser, file);
    if (!yaml_parser_load(&parser, document)) {
        const size_t line = parser.problem_mark.line ? parser.problem_mark.line
                                                     : parser.context_mark.line;

        problem_add(p, (int)line + 1, "this is no YAML: %s%s%s",
                    parser.context ? parser.context : "", parser.context ? ": " : "",
                    parser.problem ? parser.problem : "it cannot be read");
    } else if (!yaml_document_get_root_node(document)) {
        problem_add(p, 1, "the file is empty; 'sftn help run' shows what it may hold");
        yaml_document_delete(document);
    } else {
        ok = true;
    }
    if (ok && yaml_parser_load(&parser, &next)) {
        const yaml_node_t *root = yaml_document_get_root_node(&next);

        if (root)
            problem_add(p, yaml_line(root), "a second document begins here; expected only one");
        yaml_document_delete(&next);
    }
    yaml_parser_delete(&parser);
    fclose(file);
    return ok;
}
