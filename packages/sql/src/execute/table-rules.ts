/**
 * What a table asks of its rows beyond their columns: generated values, CHECK constraints, entries in secondary indexes.
 * Compiled once for a descriptor.
 */

import { column as columnExpression } from '../bind/expression.ts';
import { bindStored } from '../bind/stored-expression.ts';
import { columnOffset, type IndexDescriptor, type TableDescriptor } from '../catalog/descriptor.ts';
import type { EvalContext } from '../functions/signature.ts';
import { type IndexEntry, IndexStore } from '../storage/index-store.ts';
import type { TableStore } from '../storage/table-store.ts';
import { baseType } from '../types/domain.ts';
import { type Evaluator, evaluatorOf, type Row } from './evaluate.ts';

export interface Generated {
  readonly offset: number;
  readonly evaluate: Evaluator;
}

export interface Check {
  readonly name: string;
  readonly evaluate: Evaluator;
}

export class IndexRules {
  readonly store: IndexStore;
  private readonly values: readonly Evaluator[];
  private readonly predicate: Evaluator | undefined;

  constructor(table: TableDescriptor, index: IndexDescriptor) {
    const bound = index.columns.map((one) => {
      if (one.expression !== undefined) return bindStored(one.expression, 'INDEX', table);
      const offset = columnOffset(table, one.attributeNumber);
      const type = table.columns[offset]?.type;
      if (type === undefined) throw new RangeError('an index column is a column');
      return columnExpression(baseType(type), offset);
    });
    this.store = new IndexStore(
      table,
      index,
      bound.map((one) => one.type),
    );
    this.values = bound.map(evaluatorOf);
    this.predicate =
      index.predicate === undefined
        ? undefined
        : evaluatorOf(bindStored(index.predicate, 'INDEX WHERE', table));
  }

  /** Undefined where a partial index leaves the row out. */
  entry(row: Row, rowKey: Uint8Array, context: EvalContext): IndexEntry | undefined {
    if (this.predicate !== undefined && this.predicate(row, context) !== true) return undefined;
    return this.store.entry(
      this.values.map((evaluate) => evaluate(row, context)),
      rowKey,
    );
  }

  /** The values of the index's columns, for messages. */
  valuesOf(row: Row, context: EvalContext): Row {
    return this.values.map((evaluate) => evaluate(row, context));
  }
}

export interface TableRules {
  readonly generated: readonly Generated[];
  readonly checks: readonly Check[];
  readonly indexes: readonly IndexRules[];
}

const compiled = new WeakMap<TableDescriptor, TableRules>();

export function rulesOf(table: TableDescriptor): TableRules {
  let rules = compiled.get(table);
  if (rules === undefined) {
    rules = compile(table);
    compiled.set(table, rules);
  }
  return rules;
}

function compile(table: TableDescriptor): TableRules {
  return {
    generated: table.columns.flatMap((column, offset) =>
      column.generated === undefined
        ? []
        : [
            {
              offset,
              evaluate: evaluatorOf(bindStored(column.generated, 'GENERATED', table, column)),
            },
          ],
    ),
    checks: table.checks.map(({ name, expression }) => ({
      name,
      evaluate: evaluatorOf(bindStored(expression, 'CHECK', table)),
    })),
    indexes: table.indexes.map((index) => new IndexRules(table, index)),
  };
}

/** What a row's key has behind the prefix of its table. */
export function rowKeyOf(store: TableStore, key: Uint8Array): Uint8Array {
  return key.subarray(store.indexPrefix.length);
}
