/**
 * Privileges as the catalog holds them: who has which, by whose grant. Letters are PostgreSQL's (`r` SELECT, `a` INSERT, …), a
 * star behind one means that it may be granted on. Pure; says nothing of who asks.
 */
import { bootstrapRole, databaseOwnerRole } from './built-in-role-names.ts';

export interface AclItem {
  /** '' = PUBLIC. */
  readonly grantee: string;
  readonly grantor: string;
  /** Letters in the order of `order`, each with a star or without. */
  readonly privileges: string;
}

export type Acl = readonly AclItem[];

export type ProtectedKind = 'table' | 'view' | 'sequence' | 'schema' | 'database' | 'column';

const order = 'arwdDxtXUCTc';

/** As statements name them. */
export const privilegeLetters: Readonly<Record<string, string>> = {
  insert: 'a',
  select: 'r',
  update: 'w',
  delete: 'd',
  truncate: 'D',
  references: 'x',
  trigger: 't',
  execute: 'X',
  usage: 'U',
  create: 'C',
  temporary: 'T',
  temp: 'T',
  connect: 'c',
};

export const allPrivileges: Readonly<Record<ProtectedKind, string>> = {
  table: 'arwdDxt',
  view: 'arwdDxt',
  sequence: 'rwU',
  schema: 'UC',
  database: 'CTc',
  column: 'arwx',
};

/** What holds where nothing has been granted or revoked. */
export function defaultAcl(kind: ProtectedKind, owner: string): Acl {
  if (kind === 'column') return [];
  const own = { grantee: owner, grantor: owner, privileges: sorted(allPrivileges[kind]) };
  if (kind !== 'database') return [own];
  return [{ grantee: '', grantor: owner, privileges: 'Tc' }, own];
}

/** Of the schema `public`, which everybody may look into. */
export const publicSchemaAcl: Acl = [
  { grantee: databaseOwnerRole, grantor: databaseOwnerRole, privileges: 'UC' },
  { grantee: '', grantor: databaseOwnerRole, privileges: 'U' },
];

/** Of the system's schemas. */
export const systemSchemaAcl: Acl = [
  { grantee: bootstrapRole, grantor: bootstrapRole, privileges: 'UC' },
  { grantee: '', grantor: bootstrapRole, privileges: 'U' },
];

/** The letters that anyone of these has. @param grantable those that may be granted on alone */
export function heldLetters(
  acl: Acl,
  who: (grantee: string) => boolean,
  grantable = false,
): string {
  let held = '';
  for (const { grantee, privileges } of acl)
    if (grantee === '' || who(grantee))
      for (const [letter, star] of lettersOf(privileges)) if (star || !grantable) held += letter;
  return held;
}

function lettersOf(privileges: string): [string, boolean][] {
  return [...privileges.matchAll(/([A-Za-z])(\*?)/g)].map(([, letter = '', star]) => [
    letter,
    star === '*',
  ]);
}

function sorted(letters: string): string {
  return [...order].filter((letter) => letters.includes(letter)).join('');
}

function written(letters: ReadonlyMap<string, boolean>): string {
  return [...order]
    .filter((letter) => letters.has(letter))
    .map((letter) => (letters.get(letter) === true ? `${letter}*` : letter))
    .join('');
}

/** @param letters plain ones */
export function granted(
  acl: Acl,
  to: { readonly grantee: string; readonly grantor: string },
  letters: string,
  withOption: boolean,
): Acl {
  const { grantee, grantor } = to;
  if (letters === '') return acl;
  const at = acl.findIndex((one) => one.grantee === grantee && one.grantor === grantor);
  const has = new Map(lettersOf(acl[at]?.privileges ?? ''));
  for (const letter of letters) has.set(letter, withOption || has.get(letter) === true);
  const item = { grantee, grantor, privileges: written(has) };
  return at < 0 ? [...acl, item] : acl.map((one, i) => (i === at ? item : one));
}

/**
 * @param optionOnly what is taken away is the right to grant them on
 * @returns undefined where others have them by a grant that would go too, and `cascade` is not asked for
 */
export function revoked(
  acl: Acl,
  from: { readonly grantee: string; readonly grantor: string },
  letters: string,
  options: { readonly optionOnly: boolean; readonly cascade: boolean; readonly owner: string },
): Acl | undefined {
  const { grantee, grantor } = from;
  const { optionOnly, cascade, owner } = options;
  let next: Acl = acl.flatMap((one) => {
    if (one.grantee !== grantee || one.grantor !== grantor) return [one];
    const has = new Map(lettersOf(one.privileges));
    for (const letter of letters)
      if (!optionOnly) has.delete(letter);
      else if (has.has(letter)) has.set(letter, false);
    return has.size === 0 ? [] : [{ ...one, privileges: written(has) }];
  });
  if (grantee === '' || grantee === owner) return next;
  // What the grantee has granted on stands no longer, unless he has the option from somebody else.
  const still = heldLetters(next, (who) => who === grantee, true);
  const lost = [...letters].filter((letter) => !still.includes(letter)).join('');
  for (const one of next) {
    if (one.grantor !== grantee) continue;
    const dependent = lettersOf(one.privileges)
      .map(([letter]) => letter)
      .filter((letter) => lost.includes(letter))
      .join('');
    if (dependent === '') continue;
    if (!cascade) return undefined;
    const below = { grantee: one.grantee, grantor: grantee };
    next = revoked(next, below, dependent, { ...options, optionOnly: false }) ?? next;
  }
  return next;
}

/** `grantee=privileges/grantor`, as aclitem prints it. */
export function aclText({ grantee, grantor, privileges }: AclItem): string {
  return `${quoted(grantee)}=${privileges}/${quoted(grantor)}`;
}

function quoted(name: string): string {
  return /^[A-Za-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

/** The same with one role in the place of another. */
export function aclRenamed(acl: Acl, from: string, to: string): Acl {
  const renamed = (name: string): string => (name === from ? to : name);
  let merged: Acl = [];
  for (const one of acl) {
    const who = { grantee: renamed(one.grantee), grantor: renamed(one.grantor) };
    for (const [letter, star] of lettersOf(one.privileges))
      merged = granted(merged, who, letter, star);
  }
  return merged;
}

export function aclNames(acl: Acl | undefined, role: string): boolean {
  return acl?.some((one) => one.grantee === role || one.grantor === role) === true;
}
