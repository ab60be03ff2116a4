/** The names of the roles that are always there. */
export const bootstrapRole = 'postgres';
export const databaseOwnerRole = 'pg_database_owner';
export const readAllRole = 'pg_read_all_data';
export const writeAllRole = 'pg_write_all_data';
