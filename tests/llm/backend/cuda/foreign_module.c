/*
 * foreign_module.c - a library that has nothing to do with backends.
 */
int foreign_answer(void);

int foreign_answer(void)
{
    return 42;
}
