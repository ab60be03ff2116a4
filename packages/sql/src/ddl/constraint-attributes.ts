/**
 * DEFERRABLE and INITIALLY DEFERRED: the grammar gives them to constraints of tables, and as nodes of their own behind the
 * constraints of columns.
 */
import type { Constraint, Node } from 'libpg-query';
import type { BindContext } from '../bind/context.ts';
import type { Deferrable } from '../catalog/descriptor.ts';

type Attributes = Pick<Constraint, 'deferrable' | 'initdeferred'>;

/** What a constraint says about itself. */
export function deferrableOf({ deferrable, initdeferred }: Attributes): Deferrable | undefined {
  if (initdeferred === true) return 'initially deferred';
  return deferrable === true ? 'initially immediate' : undefined;
}

/** For a descriptor. */
export function deferrableField(constraint: Attributes): { readonly deferrable?: Deferrable } {
  const deferrable = deferrableOf(constraint);
  return deferrable === undefined ? {} : { deferrable };
}

const supporting = ['CONSTR_PRIMARY', 'CONSTR_UNIQUE', 'CONSTR_EXCLUSION', 'CONSTR_FOREIGN'];

/** Constraints of a column, with the attributes that follow each of them. Throws 42601, 0A000. */
export function withAttributes(context: BindContext, nodes: readonly Node[]): Constraint[] {
  const constraints: Constraint[] = [];
  let saidDeferrable = false;
  let saidInitially = false;
  for (const node of nodes) {
    if (!('Constraint' in node)) throw context.unsupported('column constraint');
    const { Constraint: one } = node;
    const words = attributeWords[one.contype ?? ''];
    if (words === undefined) {
      constraints.push(one);
      saidDeferrable = false;
      saidInitially = false;
      continue;
    }
    const wrong = (message: string) => context.error('42601', message, one.location);
    const of = constraints.pop();
    if (of === undefined || !supporting.includes(of.contype ?? ''))
      throw wrong(`misplaced ${words} clause`);
    if (one.contype === 'CONSTR_ATTR_DEFERRABLE' || one.contype === 'CONSTR_ATTR_NOT_DEFERRABLE') {
      if (saidDeferrable) throw wrong('multiple DEFERRABLE/NOT DEFERRABLE clauses not allowed');
      saidDeferrable = true;
      const deferrable = one.contype === 'CONSTR_ATTR_DEFERRABLE';
      if (!deferrable && of.initdeferred === true) throw wrong(mustBeDeferrable);
      constraints.push({ ...of, deferrable });
      continue;
    }
    if (saidInitially) throw wrong('multiple INITIALLY IMMEDIATE/DEFERRED clauses not allowed');
    saidInitially = true;
    const initdeferred = one.contype === 'CONSTR_ATTR_DEFERRED';
    if (initdeferred && saidDeferrable && of.deferrable !== true) throw wrong(mustBeDeferrable);
    constraints.push({ ...of, initdeferred, deferrable: initdeferred || of.deferrable === true });
  }
  return constraints;
}

const mustBeDeferrable = 'constraint declared INITIALLY DEFERRED must be DEFERRABLE';

const attributeWords: Readonly<Record<string, string>> = {
  CONSTR_ATTR_DEFERRABLE: 'DEFERRABLE',
  CONSTR_ATTR_NOT_DEFERRABLE: 'NOT DEFERRABLE',
  CONSTR_ATTR_DEFERRED: 'INITIALLY DEFERRED',
  CONSTR_ATTR_IMMEDIATE: 'INITIALLY IMMEDIATE',
};
