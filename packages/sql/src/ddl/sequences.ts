/** CREATE SEQUENCE, ALTER SEQUENCE, and the sequences behind serial and identity columns. */
import type { AlterSeqStmt, CreateSeqStmt, Node } from 'libpg-query';
import { listItems, nameParts } from '../bind/ast.ts';
import type { BindContext } from '../bind/context.ts';
import type {
  ColumnDescriptor,
  SequenceDescriptor,
  SequenceOptions,
  TableDescriptor,
} from '../catalog/descriptor.ts';
import { isMaterialized, wordOf } from '../catalog/relation-word.ts';
import { sequenceStart } from '../catalog/sequences.ts';
import { SqlError } from '../sql-error.ts';
import { int2Type, int4Type, int8Type, type SqlType } from '../types/type.ts';
import { refuseTaken } from './creation.ts';
import { type DdlContext, missingRelation } from './ddl-context.ts';
import { chooseRelationName } from './object-names.ts';

/** The type behind a serial one. */
export function serialTypes(name: string): SqlType {
  if (name === 'smallserial' || name === 'serial2') return int2Type;
  return name === 'bigserial' || name === 'serial8' ? int8Type : int4Type;
}

const ranges = {
  int2: { minimum: -32_768n, maximum: 32_767n },
  int4: { minimum: -2_147_483_648n, maximum: 2_147_483_647n },
  int8: { minimum: -9_223_372_036_854_775_808n, maximum: 9_223_372_036_854_775_807n },
};

interface Asked {
  type?: SequenceOptions['type'];
  increment?: bigint;
  start?: bigint;
  /** undefined = NO MAXVALUE */
  maximum?: bigint | undefined;
  minimum?: bigint | undefined;
  cache?: bigint;
  cycle?: boolean;
  /** undefined = at START */
  restart?: bigint | undefined;
  ownedBy?: readonly string[];
  name?: readonly string[];
}

function askedOf(context: BindContext, nodes: readonly Node[]): Asked {
  const asked: Asked = {};
  const seen = new Set<string>();
  for (const node of nodes) {
    if (!('DefElem' in node)) throw context.unsupported('sequence option');
    const { defname = '', arg, location } = node.DefElem;
    if (seen.has(defname))
      throw context.error('42601', 'conflicting or redundant options', location);
    seen.add(defname);
    switch (defname) {
      case 'as': {
        const name =
          arg !== undefined && 'TypeName' in arg ? nameParts(arg.TypeName.names).pop() : '';
        if (name !== 'int2' && name !== 'int4' && name !== 'int8')
          throw new SqlError('22023', 'sequence type must be smallint, integer, or bigint');
        asked.type = name;
        break;
      }
      case 'increment':
        asked.increment = integerOf(context, arg);
        if (asked.increment === 0n) throw new SqlError('22023', 'INCREMENT must not be zero');
        break;
      case 'start':
        asked.start = integerOf(context, arg);
        break;
      case 'restart':
        asked.restart = arg === undefined ? undefined : integerOf(context, arg);
        break;
      case 'maxvalue':
        asked.maximum = arg === undefined ? undefined : integerOf(context, arg);
        break;
      case 'minvalue':
        asked.minimum = arg === undefined ? undefined : integerOf(context, arg);
        break;
      case 'cache':
        asked.cache = integerOf(context, arg);
        if (asked.cache <= 0n)
          throw new SqlError('22023', `CACHE (${asked.cache}) must be greater than zero`);
        break;
      case 'cycle':
        asked.cycle = arg !== undefined && 'Boolean' in arg && arg.Boolean.boolval === true;
        break;
      case 'owned_by':
        asked.ownedBy = nameParts(listItems(arg));
        break;
      case 'sequence_name':
        asked.name = nameParts(listItems(arg));
        break;
      case 'logged':
      case 'unlogged':
        break;
      default:
        throw context.unsupported(`sequence option ${defname}`, location);
    }
  }
  return asked;
}

function integerOf(context: BindContext, node: Node | undefined): bigint {
  if (node !== undefined && 'Integer' in node) return BigInt(node.Integer.ival ?? 0);
  if (node !== undefined && 'Float' in node && /^[+-]?\d+$/.test(node.Float.fval ?? ''))
    return BigInt(node.Float.fval ?? 0);
  throw context.unsupported('sequence option that is no integer');
}

/** Throws 22023. */
function optionsOf(asked: Asked, before: SequenceOptions | undefined): SequenceOptions {
  const type = asked.type ?? before?.type ?? 'int8';
  const increment = asked.increment ?? before?.increment ?? 1n;
  const up = increment > 0n;
  const range = ranges[type];
  const keeps = before !== undefined && asked.type === undefined;
  const maximum =
    asked.maximum ?? (keeps && !('maximum' in asked) ? before.maximum : up ? range.maximum : -1n);
  const minimum =
    asked.minimum ?? (keeps && !('minimum' in asked) ? before.minimum : up ? 1n : range.minimum);
  if (maximum > range.maximum)
    throw new SqlError(
      '22023',
      `MAXVALUE (${maximum}) is out of range for sequence data type ${shown(type)}`,
    );
  if (minimum < range.minimum)
    throw new SqlError(
      '22023',
      `MINVALUE (${minimum}) is out of range for sequence data type ${shown(type)}`,
    );
  if (minimum >= maximum)
    throw new SqlError('22023', `MINVALUE (${minimum}) must be less than MAXVALUE (${maximum})`);
  const start = asked.start ?? before?.start ?? (up ? minimum : maximum);
  if (start < minimum)
    throw new SqlError('22023', `START value (${start}) cannot be less than MINVALUE (${minimum})`);
  if (start > maximum)
    throw new SqlError(
      '22023',
      `START value (${start}) cannot be greater than MAXVALUE (${maximum})`,
    );
  return {
    type,
    increment,
    minimum,
    maximum,
    start,
    cache: asked.cache ?? before?.cache ?? 1n,
    cycle: asked.cycle ?? before?.cycle ?? false,
  };
}

function shown(type: SequenceOptions['type']): string {
  return { int2: 'smallint', int4: 'integer', int8: 'bigint' }[type];
}

/** The sequence of a serial or identity column. @param taken names that the statement gives out itself. @returns its id */
export async function makeColumnSequence(
  context: DdlContext,
  of: {
    readonly table: TableDescriptor;
    readonly column: ColumnDescriptor;
    readonly taken: readonly string[];
  },
  nodes: readonly Node[],
): Promise<number> {
  const { table, column, taken } = of;
  const asked = askedOf(context.binder(), nodes);
  const given = asked.name?.[asked.name.length - 1];
  const name =
    given ??
    chooseRelationName(
      context.snapshot,
      table.schema,
      { first: table.name, second: column.name, label: 'seq' },
      taken,
    );
  if (given !== undefined && context.snapshot.isTaken(table.schema, given))
    throw new SqlError('42P07', `relation "${given}" already exists`);
  const type = column.type.name as SequenceOptions['type'];
  const id = await context.takeId();
  context.editor.put<SequenceDescriptor>({
    kind: 'sequence',
    id,
    schema: table.schema,
    name,
    owner: table.owner,
    version: 0,
    comments: {},
    options: optionsOf({ type, ...asked }, undefined),
    storageId: context.storageIdFor(id),
    ownedBy: { table: table.id, attributeNumber: column.attributeNumber },
  });
  return id;
}

export async function createSequence(ddl: DdlContext, statement: CreateSeqStmt): Promise<string> {
  const context = ddl.binder();
  const { sequence, options = [], if_not_exists: ifNotExists } = statement;
  if (sequence === undefined) throw context.unsupported('CREATE SEQUENCE without a name');
  const name = sequence.relname ?? '';
  const schema = await ddl.targetSchema(sequence, name);
  if (refuseTaken(ddl, schema, name, ifNotExists === true)) return 'CREATE SEQUENCE';
  const asked = askedOf(context, options);
  const id = await ddl.takeId();
  ddl.editor.put<SequenceDescriptor>({
    kind: 'sequence',
    id,
    schema,
    name,
    owner: ddl.user,
    ...ddl.initialAcl('sequence', schema),
    version: 0,
    comments: {},
    options: optionsOf(asked, undefined),
    storageId: ddl.storageIdFor(id),
    ownedBy: asked.ownedBy === undefined ? undefined : ownerColumn(ddl, asked.ownedBy),
  });
  return 'CREATE SEQUENCE';
}

/** `table.column`, or NONE. Throws 42601, 42P01, 42703. */
function ownerColumn(ddl: DdlContext, parts: readonly string[]): SequenceDescriptor['ownedBy'] {
  const column = parts[parts.length - 1] ?? '';
  if (parts.length === 1) {
    if (column === 'none') return undefined;
    throw new SqlError('42601', 'invalid OWNED BY option', {
      hint: 'Specify OWNED BY table.column or OWNED BY NONE.',
    });
  }
  const [table = '', schema] = parts.slice(0, -1).reverse();
  const found = ddl.find(schema, table);
  if (found === undefined) throw missingRelation(ddl, schema, table, 'relation');
  if (found.kind !== 'table' || isMaterialized(found))
    throw new SqlError('42809', `sequence cannot be owned by relation "${table}"`, {
      detail: `This operation is not supported for ${wordOf(found)}s.`,
    });
  const own = found.columns.find((one) => one.name === column);
  if (own === undefined)
    throw new SqlError('42703', `column "${column}" of relation "${table}" does not exist`);
  return { table: found.id, attributeNumber: own.attributeNumber };
}

export async function alterSequence(ddl: DdlContext, statement: AlterSeqStmt): Promise<string> {
  const { sequence, options = [], missing_ok: ifExists } = statement;
  const name = sequence?.relname ?? '';
  const found = ddl.find(sequence?.schemaname, name);
  if (found === undefined) {
    if (ifExists !== true) throw missingRelation(ddl, sequence?.schemaname, name, 'relation');
    ddl.notice('00000', `relation "${name}" does not exist, skipping`);
    return 'ALTER SEQUENCE';
  }
  if (found.kind !== 'sequence') throw new SqlError('42809', `"${name}" is not a sequence`);
  ddl.requireOwner(found);
  await changeSequence(ddl, found, options);
  return 'ALTER SEQUENCE';
}

/** Also for ALTER COLUMN … SET of an identity column. */
export async function changeSequence(
  ddl: DdlContext,
  sequence: SequenceDescriptor,
  nodes: readonly Node[],
): Promise<void> {
  const asked = askedOf(ddl.binder(), nodes);
  const options = optionsOf(asked, sequence.options);
  const ownedBy = asked.ownedBy === undefined ? sequence.ownedBy : ownerColumn(ddl, asked.ownedBy);
  let { storageId } = sequence;
  let start = options.start;
  if ('restart' in asked) {
    // A new place for the state: the restart is part of the transaction, values taken are not.
    storageId = await ddl.takeStorageId();
    start = asked.restart ?? options.start;
    if (start < options.minimum)
      throw new SqlError(
        '22023',
        `RESTART value (${start}) cannot be less than MINVALUE (${options.minimum})`,
      );
    if (start > options.maximum)
      throw new SqlError(
        '22023',
        `RESTART value (${start}) cannot be greater than MAXVALUE (${options.maximum})`,
      );
    await writeStart(ddl, storageId, start);
  }
  ddl.editor.put({ ...sequence, options, ownedBy, storageId });
}

/** State of a sequence that nobody knows of yet. */
async function writeStart(ddl: DdlContext, storageId: number, start: bigint): Promise<void> {
  const transaction = ddl.options.database.begin();
  const { key, value } = sequenceStart(storageId, start);
  transaction.put(key, value);
  await transaction.commit();
}
