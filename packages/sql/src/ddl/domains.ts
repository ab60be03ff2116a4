/**
 * CREATE DOMAIN and ALTER DOMAIN. Rows of no table are touched: they hold values of the type that the domain is over. New
 * conditions are held against the columns that there are. DROP DOMAIN: drop.ts; RENAME, SET SCHEMA, OWNER TO, COMMENT: with types.
 */
import type { AlterDomainStmt, Constraint, CreateDomainStmt, Node } from 'libpg-query';
import { nameParts, refuseOthers } from '../bind/ast.ts';
import { ExpressionBinder } from '../bind/bind-expression.ts';
import { bindDefault } from '../bind/default.ts';
import { bindDomainCheck, printStored, valueScope } from '../bind/stored-expression.ts';
import { bindTypeName } from '../bind/type-name.ts';
import type { ColumnDefault, DomainDescriptor, TypeDescriptor } from '../catalog/descriptor.ts';
import { evaluatorOf } from '../execute/evaluate.ts';
import { SqlError } from '../sql-error.ts';
import { baseType, type Domain, type DomainCheck } from '../types/domain.ts';
import { arrayTypeOf, plainType, type SqlType } from '../types/type.ts';
import { applyWork } from './apply-work.ts';
import { refuseQueries } from './check-constraint.ts';
import type { DdlContext } from './ddl-context.ts';
import { chooseName } from './object-names.ts';
import { TableDraft } from './table-draft.ts';
import type { ValueWork } from './table-work.ts';
import { findType, refuseTakenType, requireTypeOwner } from './types.ts';

/** As in PostgreSQL, their errors name no place in the statement. */
async function withoutPlace<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof SqlError)) throw error;
    const { position: _, ...fields } = error.fields;
    throw new SqlError(error.code, error.message, fields);
  }
}

/** Throws 42710, 42601, 42804, 0A000. */
export function createDomain(ddl: DdlContext, statement: CreateDomainStmt): Promise<string> {
  return withoutPlace(() => create(ddl, statement));
}

async function create(ddl: DdlContext, statement: CreateDomainStmt): Promise<string> {
  const context = ddl.binder();
  const { typeName, collClause, constraints = [] } = statement;
  const [name = '', schemaname] = nameParts(statement.domainname).reverse();
  const schema = ddl.creationSchema(schemaname === undefined ? {} : { schemaname }, name);
  refuseTakenType(ddl, schema, name);
  const collation = nameParts(collClause?.collname).pop();
  if (collation !== undefined && !['default', 'C', 'POSIX'].includes(collation))
    throw context.unsupported(`collation "${collation}"`, collClause?.location);
  if (typeName === undefined) throw context.unsupported('domain without a type');
  const { type, modifier } = bindTypeName(context, typeName);
  if (!type.storable || type.category === 'P')
    throw context.error(
      '42804',
      `"${type.display}" is not a valid base type for a domain`,
      undefined,
    );
  const id = await ddl.takeId();
  // Elements that are arrays themselves would be told from dimensions by nothing.
  const arrayOid = arrayTypeOf(baseType(type)) === undefined ? 0 : await ddl.takeId();
  const inherited = ddl.snapshot.descriptorOf(type)?.domain?.default;
  let domain: DomainDescriptor = { type, modifier, notNull: false, checks: [], default: inherited };
  let [hasDefault, nullability]: [boolean, boolean | undefined] = [false, undefined];
  for (const node of constraints) {
    if (!('Constraint' in node)) throw context.unsupported('domain constraint');
    const constraint = node.Constraint;
    switch (constraint.contype) {
      case 'CONSTR_DEFAULT':
        if (hasDefault) throw new SqlError('42601', 'multiple default expressions');
        hasDefault = true;
        domain = { ...domain, default: defaultOf(ddl, name, domain, constraint.raw_expr) };
        break;
      case 'CONSTR_NOTNULL':
      case 'CONSTR_NULL': {
        const notNull = constraint.contype === 'CONSTR_NOTNULL';
        if (nullability !== undefined && nullability !== notNull)
          throw new SqlError('42601', 'conflicting NULL/NOT NULL constraints');
        nullability = notNull;
        domain = { ...domain, notNull };
        break;
      }
      case 'CONSTR_CHECK': {
        const check = await checkOf(ddl, name, domain, constraint);
        domain = { ...domain, checks: [...domain.checks, check] };
        break;
      }
      default:
        throw refused(ddl, constraint);
    }
  }
  ddl.editor.putType({
    kind: 'type',
    id,
    arrayOid,
    schema,
    name,
    owner: ddl.user,
    version: 0,
    comments: {},
    labels: [],
    domain,
  });
  return 'CREATE DOMAIN';
}

/** What PostgreSQL has for columns alone. */
function refused(ddl: DdlContext, { contype: kind, location }: Constraint): Error {
  const contype: string = kind ?? '';
  const words: Readonly<Record<string, string>> = {
    CONSTR_UNIQUE: 'unique constraints',
    CONSTR_PRIMARY: 'primary key constraints',
    CONSTR_EXCLUSION: 'exclusion constraints',
    CONSTR_FOREIGN: 'foreign key constraints',
  };
  const word = words[contype];
  if (word !== undefined) return new SqlError('42601', `${word} not possible for domains`);
  if (contype.startsWith('CONSTR_ATTR'))
    return new SqlError('0A000', 'specifying constraint deferrability not supported for domains');
  return ddl.binder().unsupported(`${contype} of a domain`, location);
}

function defaultOf(
  ddl: DdlContext,
  name: string,
  { type, modifier }: Domain,
  node: Node | undefined,
): ColumnDefault | undefined {
  if (node === undefined) return undefined;
  const context = ddl.binder();
  const stored = bindDefault(context, node, { name, type: baseType(type), modifier });
  if (stored?.kind === 'nextval') throw context.unsupported('nextval() as default of a domain');
  return stored;
}

/** Throws 42710, 42804, 0A000. */
async function checkOf(
  ddl: DdlContext,
  name: string,
  domain: Domain,
  constraint: Constraint,
): Promise<DomainCheck> {
  const context = ddl.binder();
  refuseOthers(
    context,
    constraint,
    [
      'contype',
      'conname',
      'raw_expr',
      'location',
      'initially_valid',
      'skip_validation',
      'is_enforced',
    ],
    { is_no_inherit: 'NO INHERIT' },
    constraint.location,
  );
  const isTaken = (one: string) => domain.checks.some((check) => check.name === one);
  const { conname } = constraint;
  if (conname !== undefined && isTaken(conname))
    throw new SqlError('42710', `constraint "${conname}" for domain "${name}" already exists`);
  const binder = new ExpressionBinder(context, valueScope(domain), 'CHECK');
  const bound = binder.bindBoolean(constraint.raw_expr, 'CHECK');
  refuseQueries(bound);
  const { type } = domain;
  return {
    oid: await ddl.takeId(),
    name: conname ?? chooseName(name, '', 'check', isTaken),
    expression: printStored(bound, undefined, { name: '', type, modifier: -1 }),
    ...(constraint.skip_validation === true ? { notValid: true } : {}),
  };
}

/** Throws 42809, and as `findType`. */
export function requireDomain(ddl: DdlContext, parts: readonly string[]): TypeDescriptor {
  const type = findType(ddl, parts);
  domainOf(type);
  return type;
}

/** Throws 42809. */
function domainOf(type: TypeDescriptor): DomainDescriptor {
  if (type.domain === undefined) throw new SqlError('42809', `${type.name} is not a domain`);
  return type.domain;
}

/** Throws 42704, 42710, 42809, 23502, 23514. */
export function alterDomain(ddl: DdlContext, statement: AlterDomainStmt): Promise<string> {
  return withoutPlace(() => alter(ddl, statement));
}

async function alter(ddl: DdlContext, statement: AlterDomainStmt): Promise<string> {
  const { subtype = '', name = '', def, missing_ok: lenient } = statement;
  const type = findType(ddl, nameParts(statement.typeName));
  const domain = domainOf(type);
  requireTypeOwner(ddl, type);
  const put = (fields: Partial<DomainDescriptor>) =>
    ddl.editor.putType({ ...type, domain: { ...domain, ...fields } });
  switch (subtype) {
    case 'T':
      put({ default: defaultOf(ddl, type.name, domain, def) });
      break;
    case 'N':
      put({ notNull: false });
      break;
    case 'O':
      if (domain.notNull) break;
      await judgeColumns(ddl, type, (value, { table, column }) => {
        if (value === null)
          throw new SqlError(
            '23502',
            `column "${column.name}" of table "${table.name}" contains null values`,
            { schema: table.schema, table: table.name, column: column.name },
          );
      });
      put({ notNull: true });
      break;
    case 'C': {
      const constraint = def !== undefined && 'Constraint' in def ? def.Constraint : {};
      if (constraint.contype !== 'CONSTR_CHECK') throw refused(ddl, constraint);
      const check = await checkOf(ddl, type.name, domain, constraint);
      if (check.notValid !== true) await judgeByCheck(ddl, type, check);
      put({ checks: [...domain.checks, check] });
      break;
    }
    case 'X': {
      const left = domain.checks.filter((one) => one.name !== name);
      if (left.length < domain.checks.length) put({ checks: left });
      else if (lenient !== true) throw missingConstraint(type, name);
      else
        ddl.notice(
          '00000',
          `constraint "${name}" of domain "${type.name}" does not exist, skipping`,
        );
      break;
    }
    case 'V': {
      const check = domain.checks.find((one) => one.name === name);
      if (check === undefined) throw missingConstraint(type, name);
      if (check.notValid !== true) break;
      await judgeByCheck(ddl, type, check);
      const { notValid: _, ...valid } = check;
      put({ checks: domain.checks.map((one) => (one === check ? valid : one)) });
      break;
    }
    default:
      throw ddl.binder().unsupported('ALTER DOMAIN');
  }
  return 'ALTER DOMAIN';
}

function missingConstraint(type: TypeDescriptor, name: string): SqlError {
  return new SqlError('42704', `constraint "${name}" of domain "${type.name}" does not exist`);
}

/** ALTER DOMAIN … RENAME CONSTRAINT. Throws 42704, 42710. */
export function renameDomainConstraint(
  ddl: DdlContext,
  parts: readonly string[],
  name: string,
  to: string,
): void {
  const type = findType(ddl, parts);
  const domain = domainOf(type);
  requireTypeOwner(ddl, type);
  const { checks } = domain;
  if (!checks.some((one) => one.name === name))
    throw new SqlError('42704', `constraint "${name}" for domain ${type.name} does not exist`);
  if (checks.some((one) => one.name === to))
    throw new SqlError('42710', `constraint "${to}" for domain ${type.name} already exists`);
  const renamed = checks.map((one) => (one.name === name ? { ...one, name: to } : one));
  ddl.editor.putType({ ...type, domain: { ...domain, checks: renamed } });
}

/** Throws 23514. */
function judgeByCheck(ddl: DdlContext, type: TypeDescriptor, check: DomainCheck): Promise<void> {
  const holds = evaluatorOf(bindDomainCheck(check.expression, domainOf(type)));
  return judgeColumns(ddl, type, (value, { table, column }) => {
    if (holds([value], ddl.options.evaluation) === false)
      throw new SqlError(
        '23514',
        `column "${column.name}" of table "${table.name}" contains values that violate the new constraint`,
        { schema: table.schema, table: table.name, column: column.name },
      );
  });
}

/** Whether values of the type are of the domain, or of domains over it. */
function isOver(type: SqlType, domain: TypeDescriptor): boolean {
  let own = type;
  while (own.oid !== domain.id && own.domain !== undefined) own = own.domain.type;
  return own.oid === domain.id;
}

/** Reads all rows of tables with columns of the domain, or of domains over it. Throws 0A000 where one has arrays of them. */
async function judgeColumns(
  ddl: DdlContext,
  type: TypeDescriptor,
  judge: ValueWork['judge'],
): Promise<void> {
  for (const table of ddl.snapshot.tables())
    for (const column of table.columns) {
      const { element } = plainType(column.type);
      if (element !== undefined && isOver(element, type))
        throw new SqlError(
          '0A000',
          `cannot alter type "${type.name}" because column "${table.name}.${column.name}" uses it`,
        );
    }
  for (const table of ddl.snapshot.tables()) {
    const columns = table.columns.filter((column) => isOver(column.type, type));
    if (columns.length === 0) continue;
    const draft = new TableDraft(ddl, table);
    for (const { attributeNumber } of columns)
      draft.work.push({ kind: 'value', attributeNumber, judge });
    await applyWork(draft, table);
  }
}
