/*
 * main.c - the fedmq command.  The only file that ends the process.
 */
int main(void)
{
    return 0;
}
