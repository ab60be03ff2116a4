/**
 * Names and oids of catalog objects, for the types whose text is a name: regclass, regtype, regproc, regnamespace,
 * regrole. The catalog implements it over one snapshot.
 */
export type NamedKind =
  | 'class'
  | 'type'
  | 'procedure'
  | 'namespace'
  | 'role'
  | 'operator'
  | 'collation';

export interface SystemNames {
  /** The name as it must be written in this session, quoted and qualified where necessary; undefined: no such object. */
  nameOf(kind: NamedKind, oid: number): string | undefined;
  /** @param parts a name, or schema and name, already folded. Undefined: no such object. */
  oidOf(kind: NamedKind, parts: readonly string[]): number | undefined;
}
