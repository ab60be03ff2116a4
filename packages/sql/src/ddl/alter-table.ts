/** ALTER TABLE: the statement's commands change a draft, one after the other; then the rows are made to fit it. */
import type { AlterTableCmd, AlterTableStmt, ColumnDef, Node } from 'libpg-query';
import { ExpressionBinder } from '../bind/bind-expression.ts';
import { coerceToColumn, tryCoerce } from '../bind/coerce.ts';
import { bindDefault, defaultExpression } from '../bind/default.ts';
import { column as columnExpression } from '../bind/expression.ts';
import { tableScope } from '../bind/stored-expression.ts';
import { bindTypeName } from '../bind/type-name.ts';
import {
  type ColumnDescriptor,
  primaryColumns,
  type TableDescriptor,
} from '../catalog/descriptor.ts';
import { isMaterialized, wordOf } from '../catalog/relation-word.ts';
import { evaluatorOf } from '../execute/evaluate.ts';
import { checkNewOwner, giveRelation } from '../roles/owned.ts';
import { newOwner } from '../roles/role-names.ts';
import { SqlError } from '../sql-error.ts';
import { storageSpan } from '../storage/table-store.ts';
import { isConstrained } from '../types/domain.ts';
import { storedText } from '../types/stored-text.ts';
import { formatText } from '../types/text-codec.ts';
import { displayType } from '../types/type.ts';
import { alterConstraint } from './alter-constraint.ts';
import { alterMaterializedView } from './alter-materialized-view.ts';
import { applyWork } from './apply-work.ts';
import { checkStorage } from './creation.ts';
import { type DdlContext, missingRelation } from './ddl-context.ts';
import { objectWord } from './ddl-tag.ts';
import { dropColumn, dropConstraint, generatedFrom } from './drop-parts.ts';
import { lockReferenced } from './locks.ts';
import { resetRangeParameters, setRangeParameters } from './range-parameters.ts';
import { changeSequence } from './sequences.ts';
import { TableDraft } from './table-draft.ts';
import { viewsUsing } from './view-uses.ts';

export async function alterTable(ddl: DdlContext, statement: AlterTableStmt): Promise<string> {
  const { relation, cmds = [], objtype = 'OBJECT_TABLE', missing_ok: ifExists } = statement;
  const tag = `ALTER ${objectWord(objtype)}`;
  const { schemaname, relname = '' } = relation ?? {};
  const commands = cmds.flatMap((node) => ('AlterTableCmd' in node ? [node.AlterTableCmd] : []));
  const found = ddl.find(schemaname, relname);
  if (found === undefined) {
    if (ifExists !== true) throw missingRelation(ddl, schemaname, relname, 'relation');
    ddl.notice('00000', `relation "${relname}" does not exist, skipping`);
    return tag;
  }
  ddl.requireOwner(found);
  const word = objectWord(objtype).toLowerCase();
  if (['view', 'materialized view', 'sequence'].includes(word) && wordOf(found) !== word)
    throw new SqlError('42809', `"${relname}" is not a ${word}`);
  if (found.kind === 'table') ddl.requireSettled(found, 'ALTER TABLE');
  if (commands.every((one) => one.subtype === 'AT_ChangeOwner')) {
    const owner = newOwner(ddl, commands[0]?.newowner);
    const { name, schema } = found;
    checkNewOwner(ddl, { owner: found.owner, what: `${wordOf(found)} ${name}`, schema }, owner);
    giveRelation(ddl, found, owner);
    return tag;
  }
  if (found.kind !== 'table') {
    if (objtype === 'OBJECT_TABLE') throw new SqlError('42809', `"${relname}" is not a table`);
    throw ddl.binder().unsupported(tag);
  }
  if (isMaterialized(found)) {
    alterMaterializedView(ddl, found, commands);
    return tag;
  }
  const before = found;
  const draft = new TableDraft(ddl, before);
  for (const command of inOrder(commands)) await new Alteration(draft, before).apply(command);
  await draft.finish();
  await lockReferenced(ddl, before);
  await lockReferenced(ddl, draft.table);
  const after = await applyWork(draft, before);
  if (after.storageId !== before.storageId) ddl.editor.addGarbage(storageSpan(before.storageId));
  ddl.editor.put(after);
  return tag;
}

/** As PostgreSQL does it: constraints are added when all columns are. */
function inOrder(commands: readonly AlterTableCmd[]): readonly AlterTableCmd[] {
  const isConstraint = ({ subtype }: AlterTableCmd) => subtype === 'AT_AddConstraint';
  return [...commands.filter((one) => !isConstraint(one)), ...commands.filter(isConstraint)];
}

class Alteration {
  private readonly draft: TableDraft;
  private readonly ddl: DdlContext;
  /** The table as rows are stored when the statement begins. */
  private readonly before: TableDescriptor;

  constructor(draft: TableDraft, before: TableDescriptor) {
    this.draft = draft;
    this.ddl = draft.context;
    this.before = before;
  }

  /** Throws SqlError; 0A000 for what is not built. */
  async apply(command: AlterTableCmd): Promise<void> {
    const { draft, ddl } = this;
    const { subtype = 'AT_AddColumn', name = '', def, missing_ok: lenient } = command;
    const cascade = command.behavior === 'DROP_CASCADE';
    switch (subtype) {
      case 'AT_AddColumn':
        if (def === undefined || !('ColumnDef' in def)) break;
        return this.addColumn(def.ColumnDef, lenient === true);
      case 'AT_DropColumn':
        return dropColumn(draft, name, { cascade, ifExists: lenient === true });
      case 'AT_ColumnDefault':
        return this.setDefault(name, def);
      case 'AT_SetNotNull': {
        const { attributeNumber, notNull } = draft.column(name);
        if (notNull) return;
        draft.changeColumn(attributeNumber, { notNull: true });
        draft.work.push({ kind: 'not null', attributeNumber });
        return;
      }
      case 'AT_DropNotNull':
        return this.dropNotNull(name);
      case 'AT_AddConstraint':
        if (def === undefined || !('Constraint' in def)) break;
        return draft.addConstraint(def.Constraint, undefined);
      case 'AT_DropConstraint':
        return dropConstraint(draft, name, { cascade, ifExists: lenient === true });
      case 'AT_AlterConstraint':
        if (def === undefined || !('ATAlterConstraint' in def)) break;
        return alterConstraint(draft, def.ATAlterConstraint);
      case 'AT_ValidateConstraint':
        return this.validate(name);
      case 'AT_AlterColumnType':
        if (def === undefined || !('ColumnDef' in def)) break;
        return this.changeType(name, def.ColumnDef);
      case 'AT_AddIdentity':
        return this.addIdentity(name, def);
      case 'AT_SetIdentity':
        return this.setIdentity(name, def);
      case 'AT_DropIdentity':
        return this.dropIdentity(name, lenient === true);
      case 'AT_DropExpression': {
        const { attributeNumber, generated } = draft.column(name);
        if (generated === undefined)
          throw new SqlError(
            '55000',
            `column "${name}" of relation "${draft.table.name}" is not a stored generated column`,
          );
        draft.change({
          columns: draft.table.columns.map((column) => {
            if (column.attributeNumber !== attributeNumber) return column;
            const { generated: _, ...rest } = column;
            return rest;
          }),
        });
        return;
      }
      case 'AT_ChangeOwner': {
        throw ddl.binder().unsupported('OWNER TO beside other commands');
      }
      case 'AT_SetRelOptions':
      case 'AT_ResetRelOptions': {
        const options = def !== undefined && 'List' in def ? (def.List.items ?? []) : [];
        checkStorage(ddl.binder(), { options });
        const change = subtype === 'AT_SetRelOptions' ? setRangeParameters : resetRangeParameters;
        draft.change({ ranges: change(draft.table.ranges, options) });
        return;
      }
      case 'AT_SetStatistics':
      case 'AT_SetStorage':
      case 'AT_SetLogged':
      case 'AT_DropCluster':
        // They tune what is not here, or say what is so.
        return;
      case 'AT_SetTableSpace':
        checkStorage(ddl.binder(), { tablespacename: name });
        return;
      default:
    }
    const shown = subtype
      .replace(/^AT_/, '')
      .replace(/([a-z])([A-Z])/g, '$1 $2')
      .toUpperCase();
    throw ddl.binder().unsupported(`ALTER TABLE … ${shown}`);
  }

  private async addColumn(definition: ColumnDef, ifNotExists: boolean): Promise<void> {
    const { draft, ddl } = this;
    const { colname = '' } = definition;
    if (draft.table.columns.some((column) => column.name === colname)) {
      const message = `column "${colname}" of relation "${draft.table.name}" already exists`;
      if (!ifNotExists) throw new SqlError('42701', message);
      ddl.notice('42701', `${message}, skipping`);
      return;
    }
    const column = await draft.addColumn(definition);
    const { attributeNumber } = column;
    if (column.generated !== undefined) {
      draft.work.push({ kind: 'rewrite' });
      return;
    }
    const value = defaultExpression(ddl.binder(), column);
    if (value === undefined) return;
    const { default: stored } = column;
    if ((stored?.kind === 'constant' || stored?.kind === 'now') && !isConstrained(column.type)) {
      // Rows that are there get the value when they are read.
      const missing = evaluatorOf(value)([], ddl.options.evaluation);
      if (missing !== null)
        draft.changeColumn(attributeNumber, {
          missing: formatText(column.type, missing, storedText),
        });
      return;
    }
    draft.conversions.set(attributeNumber, value);
    draft.work.push({ kind: 'rewrite' });
  }

  private setDefault(name: string, node: Node | undefined): void {
    const { draft, ddl } = this;
    const column = draft.column(name);
    if (column.identity !== undefined)
      throw new SqlError(
        '42601',
        `column "${name}" of relation "${draft.table.name}" is an identity column`,
        node === undefined
          ? { hint: 'Use ALTER TABLE ... ALTER COLUMN ... DROP IDENTITY instead.' }
          : {},
      );
    if (column.generated !== undefined)
      throw new SqlError(
        '42601',
        `column "${name}" of relation "${draft.table.name}" is a generated column`,
      );
    const value = node === undefined ? undefined : bindDefault(ddl.binder(), node, column);
    draft.changeColumn(column.attributeNumber, { default: value });
  }

  private dropNotNull(name: string): void {
    const { draft } = this;
    const column = draft.column(name);
    if (column.identity !== undefined)
      throw new SqlError(
        '42601',
        `column "${name}" of relation "${draft.table.name}" is an identity column`,
      );
    if (primaryColumns(draft.table)?.includes(column.attributeNumber) === true)
      throw new SqlError('42P16', `column "${name}" is in a primary key`);
    draft.changeColumn(column.attributeNumber, { notNull: false });
  }

  private validate(name: string): void {
    const { draft } = this;
    const check = draft.table.checks.find((one) => one.name === name);
    const foreignKey = draft.table.foreignKeys.find((one) => one.name === name);
    if (check !== undefined) draft.work.push({ kind: 'check', check });
    else if (foreignKey !== undefined) draft.work.push({ kind: 'foreign key', foreignKey });
    else
      throw new SqlError(
        '42704',
        `constraint "${name}" of relation "${draft.table.name}" does not exist`,
      );
  }

  private changeType(name: string, definition: ColumnDef): void {
    const { draft, ddl, before } = this;
    const context = ddl.binder();
    const column = draft.column(name);
    const { typeName, raw_default: using } = definition;
    if (typeName === undefined) throw context.unsupported('column without a type');
    const { type, modifier } = bindTypeName(context, typeName);
    if (!type.storable) throw context.unsupported(`column of type ${type.display}`);
    const [view] = viewsUsing(ddl, draft.table.id, name);
    if (view !== undefined)
      throw new SqlError('0A000', 'cannot alter type of a column used by a view or rule', {
        detail: `rule _RETURN on ${wordOf(view)} ${view.name} depends on column "${name}"`,
      });
    if (column.generated !== undefined)
      throw context.unsupported('type change of a generated column');
    const offset = before.columns.findIndex(
      (one) => one.attributeNumber === column.attributeNumber,
    );
    const [user] = generatedFrom(before, offset);
    if (user !== undefined)
      throw new SqlError('0A000', 'cannot alter type of a column used by a generated column', {
        detail: `Column "${name}" is used by generated column "${user.name}".`,
      });
    const target = { name, type, modifier };
    const old = columnExpression(column.type, offset, { modifier: column.modifier, name });
    if (using === undefined && tryCoerce(context, old, type, 'assignment', modifier) === undefined)
      throw new SqlError(
        '42804',
        `column "${name}" cannot be cast automatically to type ${displayType(type, modifier)}`,
        { hint: `You might need to specify "USING ${name}::${displayType(type, modifier)}".` },
      );
    const bound =
      using === undefined
        ? old
        : // As in PostgreSQL, an error of its conversion names no place.
          {
            ...new ExpressionBinder(context, tableScope(before), 'USING').bind(using),
            location: undefined,
          };
    const converted = coerceToColumn(context, bound, target);
    draft.conversions.set(column.attributeNumber, converted);
    draft.work.push({ kind: 'rewrite' });
    draft.changeColumn(column.attributeNumber, {
      type,
      modifier,
      default: this.convertDefault(column, target),
    });
    draft.change({
      columns: draft.table.columns.map((one) => {
        if (one.attributeNumber !== column.attributeNumber) return one;
        const { missing: _, ...rest } = one; // every row is written anew
        return rest;
      }),
    });
  }

  private convertDefault(
    column: ColumnDescriptor,
    target: Pick<ColumnDescriptor, 'name' | 'type' | 'modifier'>,
  ): ColumnDescriptor['default'] {
    const { default: stored } = column;
    if (stored?.kind !== 'constant') return stored;
    const context = this.ddl.binder();
    const value = defaultExpression(context, column);
    const converted =
      value === undefined
        ? undefined
        : tryCoerce(context, value, target.type, 'assignment', target.modifier);
    if (converted === undefined)
      throw new SqlError(
        '42804',
        `default for column "${target.name}" cannot be cast automatically to type ${target.type.display}`,
      );
    const result = evaluatorOf(converted)([], this.ddl.options.evaluation);
    if (result === null) return undefined;
    return { kind: 'constant', text: formatText(target.type, result, storedText) };
  }

  private async addIdentity(name: string, def: Node | undefined): Promise<void> {
    const { draft } = this;
    const column = draft.column(name);
    const constraint = def !== undefined && 'Constraint' in def ? def.Constraint : {};
    if (!column.notNull)
      throw new SqlError(
        '55000',
        `column "${name}" of relation "${draft.table.name}" must be declared NOT NULL before identity can be added`,
      );
    if (column.identity !== undefined)
      throw new SqlError(
        '55000',
        `column "${name}" of relation "${draft.table.name}" is already an identity column`,
      );
    if (column.default !== undefined)
      throw new SqlError(
        '55000',
        `column "${name}" of relation "${draft.table.name}" already has a default value`,
      );
    const when = constraint.generated_when === 'a' ? 'always' : 'by default';
    await draft.giveSequence(column, when, constraint.options ?? []);
  }

  private async setIdentity(name: string, def: Node | undefined): Promise<void> {
    const { draft, ddl } = this;
    const column = this.identityColumn(name);
    const options = def !== undefined && 'List' in def ? (def.List.items ?? []) : [];
    const rest: Node[] = [];
    for (const node of options) {
      if ('DefElem' in node && node.DefElem.defname === 'generated') {
        const { arg } = node.DefElem;
        const always =
          arg !== undefined && 'Integer' in arg && arg.Integer.ival === 'a'.charCodeAt(0);
        draft.changeColumn(column.attributeNumber, { identity: always ? 'always' : 'by default' });
      } else rest.push(node);
    }
    const sequence =
      column.default?.kind === 'nextval'
        ? ddl.snapshot.relations.get(column.default.sequence)
        : undefined;
    if (rest.length > 0 && sequence?.kind === 'sequence') await changeSequence(ddl, sequence, rest);
  }

  private identityColumn(name: string): ColumnDescriptor {
    const { draft } = this;
    const column = draft.column(name);
    if (column.identity !== undefined) return column;
    throw new SqlError(
      '55000',
      `column "${name}" of relation "${draft.table.name}" is not an identity column`,
    );
  }

  private dropIdentity(name: string, ifExists: boolean): void {
    const { draft, ddl } = this;
    const column = draft.column(name);
    if (column.identity === undefined && ifExists) {
      ddl.notice(
        '00000',
        `column "${name}" of relation "${draft.table.name}" is not an identity column, skipping`,
      );
      return;
    }
    const { attributeNumber, default: stored } = this.identityColumn(name);
    draft.change({
      columns: draft.table.columns.map((one) => {
        if (one.attributeNumber !== attributeNumber) return one;
        const { identity: _, ...rest } = one;
        return { ...rest, default: undefined };
      }),
    });
    if (stored?.kind === 'nextval') ddl.editor.remove(stored.sequence);
  }
}
