/** What is said of roles that there are not, and of what a role may not do. */
import { SqlError } from '../sql-error.ts';

export function missingRole(name: string): SqlError {
  return new SqlError('42704', `role "${name}" does not exist`);
}

export function denied(message: string, position?: number): SqlError {
  return new SqlError('42501', message, position === undefined ? {} : { position });
}
