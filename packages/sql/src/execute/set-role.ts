/** SET ROLE and SET SESSION AUTHORIZATION: whether a session may become who it asks to be. */
import type { CatalogSnapshot } from '../catalog/snapshot.ts';
import { authorityOf } from '../roles/authority.ts';
import type { Settings } from '../settings.ts';
import { SqlError } from '../sql-error.ts';

/**
 * Throws 22023 for a role that there is not, 42501 where it may not be taken. Nothing for other settings.
 * @param value undefined = back to the user who was let in
 */
export function checkBecoming(
  setting: { readonly name: string; readonly value: string | undefined },
  settings: Settings,
  snapshot: CatalogSnapshot,
  trusted: string | undefined,
): void {
  const name = setting.name.toLowerCase();
  const { value } = setting;
  if (value === undefined || (name !== 'role' && name !== 'session_authorization')) return;
  if (name === 'role' && value === 'none') return;
  if (!snapshot.roles.has(value) && value !== trusted)
    throw new SqlError('22023', `role "${value}" does not exist`);
  if (name === 'role') {
    if (!authorityOf(snapshot, { user: settings.sessionUser, trusted }).isMemberOf(value))
      throw new SqlError('42501', `permission denied to set role "${value}"`);
    return;
  }
  const { authenticatedUser: user } = settings;
  if (value !== user && !authorityOf(snapshot, { user, trusted }).superuser)
    throw new SqlError('42501', 'permission denied to set session authorization');
}
