/**
 * Some leaves of FROM and the conditions between them as a problem of join-order.ts: what reading each costs, what each step costs
 * by which method, and which orders of rows are worth a try, because keys of two tables have them.
 */
import type { ComparisonExpression, Expression } from '../bind/expression.ts';
import { column } from '../bind/expression.ts';
import { expressionKey } from '../bind/expression-key.ts';
import type { SortKey } from '../bind/relation.ts';
import type { PhysicalJoinType } from '../execute/join.ts';
import { columnOf, isOn, type KeyPart, keyTest } from './access-path.ts';
import type { ChosenPath } from './choose-path.ts';
import { isEquality, pairsOf } from './equalities.ts';
import { columnsOf, holds, isWithin, type Leaf, localConditions, touches } from './from-tree.ts';
import { hashJoinCost, mergeJoinCost, sortingCost } from './join-cost.ts';
import type { Estimated, Joined, JoinProblem, JoinStep } from './join-order.ts';
import type { LeafEstimates } from './leaf-estimates.ts';
import { type LookupKey, lookupCost, lookupKey } from './lookup-key.ts';
import type { AskedOrder } from './plan-table.ts';
import { givesOrder, scanOrder, withConditions } from './row-order.ts';

/**
 * How a leaf comes in: read first, as it is or in the order that is wished for; by whatever is cheapest; or in a way that keeps
 * the order: by a key, or merged, itself in order or sorted before.
 */
export type JoinMethod = 'any' | 'ordered' | 'lookup' | 'merge' | 'sort-merge';

export interface JoinRegion {
  readonly leaves: readonly Leaf[];
  /** Between leaves. */
  readonly conditions: readonly Expression[];
  /** On one leaf alone. */
  readonly conditionsOf: (leaf: Leaf) => readonly Expression[];
  /** By offset into FROM's row: what is read of it at all. */
  readonly needed: readonly boolean[];
  /** Outer joins have two leaves, the first of which is read first. */
  readonly type: PhysicalJoinType;
}

/** An order that the first leaf is read in, and later ones keep. */
export interface Wish extends AskedOrder {
  /** Of the result: otherwise it is for joins alone. */
  readonly isFinal: boolean;
}

/** Ways that keep an order cost this at least before their first row. */
const leastStartup = 5;
/** Orders that are tried beside that of the result. */
const candidatesMax = 4;
/** Of more leaves than this one such order is tried: each costs a search. */
const fewLeaves = 5;
/** Rows that are looked up at once. */
const lookedUpAtOnce = 512;

/** What connects a leaf with others. */
interface Link {
  readonly conditions: readonly Expression[];
  /** Of all combinations, those that the conditions let through. */
  readonly share: number;
  readonly isEqual: boolean;
  readonly key: LookupKey | undefined;
  /** Equalities of a column of the leaf, on the right, with something else. */
  readonly pairs: readonly ComparisonExpression[];
}

export class RegionProblem {
  private readonly estimates: LeafEstimates;
  private readonly region: JoinRegion;
  private readonly bits: readonly {
    readonly one: Expression;
    readonly bits: number;
    readonly share: number;
    /** By leaf: as `pairsOf` has it. */
    readonly pairs: readonly (ComparisonExpression | undefined)[];
  }[];
  private readonly needs: readonly number[];
  private readonly costs: readonly Estimated[];
  private readonly classes = new Map<string, string>();
  private readonly links = new Map<number, Link>();
  private readonly paths = new Map<string, { readonly path: ChosenPath | undefined }>();
  private readonly names = new Map<Expression, string>();

  constructor(estimates: LeafEstimates, region: JoinRegion) {
    const { leaves, conditions, conditionsOf } = region;
    this.estimates = estimates;
    this.region = region;
    const bitOf = (columns: readonly number[]) =>
      leaves.reduce(
        (bits, leaf, i) => (columns.some((one) => holds(leaf, one)) ? bits | (1 << i) : bits),
        0,
      );
    this.bits = conditions.map((one) => ({
      one,
      bits: bitOf(columnsOf(one)),
      share: estimates.shareOf(leaves, [one]),
      pairs: leaves.map((leaf) => pairsOf([one], leaf)[0]),
    }));
    this.needs = leaves.map((leaf) => bitOf(leaf.needs));
    this.costs = leaves.map((leaf) => estimates.leafCost(leaf, conditionsOf(leaf)));
    for (const one of conditions) if (isEquality(one)) this.unite(one.left, one.right);
  }

  /** Rows of all leaves joined. */
  get rows(): number {
    const { leaves, conditions } = this.region;
    const all = this.costs.reduce((product, { rows }) => product * rows, 1);
    return Math.max(1, all * this.estimates.shareOf(leaves, conditions));
  }

  /** @param fraction of the rows in order that are read */
  under(wish: Wish | undefined, fraction: number): JoinProblem<JoinMethod> {
    const { leaves, type } = this.region;
    return {
      count: leaves.length,
      start: (i) => (type !== 'inner' && i > 0 ? [] : this.start(i, wish)),
      step: (done, there, i) => this.step({ done, there, wish, fraction }, i),
      price: ({ cost, startup, ordered }) =>
        ordered ? startup + (cost - startup) * fraction : cost,
    };
  }

  private start(i: number, wish: Wish | undefined): JoinStep<JoinMethod>[] {
    const [leaf, own] = [this.region.leaves[i], this.costs[i]];
    if (leaf === undefined || own === undefined || this.needs[i] !== 0) return [];
    const { rows, cost } = own;
    const all: JoinStep<JoinMethod>[] = [
      { relation: i, method: 'any', rows, cost, startup: cost, ordered: false },
    ];
    const path = wish && this.wished(leaf, wish);
    if (path !== undefined)
      all.push({
        relation: i,
        method: 'ordered',
        rows: path.rows,
        cost: path.cost,
        startup: leastStartup,
        ordered: true,
      });
    return all;
  }

  private step(
    at: {
      readonly done: number;
      readonly there: Joined;
      readonly wish: Wish | undefined;
      readonly fraction: number;
    },
    i: number,
  ): JoinStep<JoinMethod>[] {
    const { done, there, wish, fraction } = at;
    const { leaves, type } = this.region;
    const [leaf, own] = [leaves[i], this.costs[i]];
    if (leaf === undefined || own === undefined || ((this.needs[i] ?? 0) & ~done) !== 0) return [];
    const link = this.link(done, i);
    const { conditions, share, isEqual, key } = link;
    let rows = Math.max(1, there.rows * own.rows * share);
    if (type !== 'inner') rows = Math.max(rows, there.rows);
    if (leaf.needs.length > 0) {
      const cost = there.cost + there.rows * own.cost;
      return [{ relation: i, rows, method: 'any', cost, startup: cost, ordered: there.ordered }];
    }
    const size = { type, left: there.rows, right: own.rows, rows };
    const looping = own.cost + there.rows * own.rows * (conditions.length === 0 ? 2 : 1);
    const hashing = isEqual ? own.cost + hashJoinCost(size) : looping;
    const looking = key === undefined ? Number.POSITIVE_INFINITY : lookupCost(key, there.rows);
    const cost = there.cost + Math.min(hashing, looking);
    const all: JoinStep<JoinMethod>[] = [
      { relation: i, rows, method: 'any', cost, startup: cost, ordered: false },
    ];
    if (!there.ordered || wish === undefined) return all;
    // Without a limit a sort is not worth more than it costs: what is cheapest anyway may keep the order.
    if (key !== undefined && (looking <= hashing || fraction < 1)) {
      const first = lookupCost(key, Math.min(there.rows, lookedUpAtOnce));
      const startup = there.startup + first;
      all.push({
        relation: i,
        rows,
        method: 'lookup',
        cost: there.cost + looking,
        startup,
        ordered: true,
      });
    } else if (!isEqual && there.rows >= own.rows) {
      const startup = there.startup + own.cost;
      all.push({
        relation: i,
        rows,
        method: 'any',
        cost: there.cost + looping,
        startup,
        ordered: true,
      });
    }
    const keys = this.mergeKeys(link, wish);
    if (keys === undefined) return all;
    const ordered = type !== 'full';
    const path = this.longestPath(leaf, keys);
    if (path !== undefined) {
      const total = there.cost + path.cost + mergeJoinCost(size);
      const startup = there.startup + leastStartup;
      all.push({ relation: i, rows, method: 'merge', cost: total, startup, ordered });
    }
    const sorted = own.cost + sortingCost(own.rows);
    const total = there.cost + sorted + mergeJoinCost(size);
    const startup = there.startup + sorted;
    all.push({ relation: i, rows, method: 'sort-merge', cost: total, startup, ordered });
    return all;
  }

  private link(done: number, i: number): Link {
    const known = this.links.get(done * 64 + i);
    if (known !== undefined) return known;
    const { leaves, conditionsOf, type } = this.region;
    const leaf = leaves[i] as Leaf;
    const both = done | (1 << i);
    const connecting = this.bits.filter(
      ({ bits }) => (bits & (1 << i)) !== 0 && (bits & ~both) === 0,
    );
    const conditions = connecting.map(({ one }) => one);
    const isEqual = conditions.some((one) => one.kind === 'comparison' && one.operator === '=');
    const asked = conditionsOf(leaf);
    const local = localConditions(leaf, asked);
    const { sources } = this.estimates;
    const key =
      type === 'full' || leaf.needs.length > 0
        ? undefined
        : lookupKey(leaf, [...conditions, ...asked], conditions, local, sources);
    const share = connecting.reduce((all, one) => all * one.share, 1);
    const pairs = connecting.flatMap((one) => one.pairs[i] ?? []);
    const link = { conditions, share, isEqual, key, pairs };
    this.links.set(done * 64 + i, link);
    return link;
  }

  /** Which columns of the leaf the beginning of the wished order is equal to. */
  private mergeKeys({ pairs }: Link, wish: Wish): AskedOrder | undefined {
    const keys: SortKey[] = [];
    const outputs: Expression[] = [];
    for (const key of wish.keys) {
      const wanted = wish.outputs[key.output];
      if (wanted === undefined) break;
      const pair = pairs.find((one) => this.classOf(one.left) === this.classOf(wanted));
      if (pair === undefined) break;
      keys.push({ ...key, output: outputs.length });
      outputs.push(pair.right);
    }
    return keys.length === 0 ? undefined : { keys, outputs, nullsAnywhere: true };
  }

  private longestPath(leaf: Leaf, asked: AskedOrder): ChosenPath | undefined {
    for (let length = asked.keys.length; length > 0; length--) {
      const keys = asked.keys.slice(0, length);
      const path = this.path(leaf, { ...asked, keys });
      if (path !== undefined) return path;
    }
    return undefined;
  }

  private path(leaf: Leaf, asked: AskedOrder): ChosenPath | undefined {
    const { conditionsOf, needed } = this.region;
    const name = `${leaf.from} ${asked.nullsAnywhere} ${asked.keys.map((key) => keyName(key, asked)).join()}`;
    let found = this.paths.get(name);
    if (found === undefined) {
      found = { path: this.estimates.orderedPath(leaf, conditionsOf(leaf), { asked, needed }) };
      this.paths.set(name, found);
    }
    return found.path;
  }

  /** The wished order, or one that is that order as soon as all is joined, as far as it is the leaf's own. */
  orderOf(leaf: Leaf, wish: Wish): AskedOrder | undefined {
    const outputs: Expression[] = [];
    const keys: SortKey[] = [];
    for (const key of wish.keys) {
      const own = this.ownOf(leaf, wish.outputs[key.output]);
      if (own === undefined) break;
      keys.push({ ...key, output: outputs.length });
      outputs.push(own);
    }
    return keys.length === 0 ? undefined : { ...wish, keys, outputs };
  }

  /** A way to read the leaf so that what is joined has the wished order. */
  private wished(leaf: Leaf, wish: Wish): ChosenPath | undefined {
    const { conditions, type } = this.region;
    const asked = this.orderOf(leaf, wish);
    const path = asked && this.path(leaf, asked);
    const { tree } = leaf;
    if (path === undefined || tree.kind !== 'item' || tree.source.kind !== 'table')
      return undefined;
    const order = scanOrder(tree.source.table, path, {
      reverse: path.order === 'reverse',
      offset: leaf.from,
      end: leaf.end,
    });
    const holding = type === 'inner' || !wish.isFinal ? conditions : [];
    const whole = withConditions(order, holding);
    return whole !== undefined && givesOrder(whole, wish) ? path : undefined;
  }

  /** What of the leaf is equal to the expression. */
  private ownOf(leaf: Leaf, wanted: Expression | undefined): Expression | undefined {
    if (wanted === undefined) return undefined;
    if (touches(wanted, leaf) && isWithin(wanted, leaf)) return wanted;
    const wantedClass = this.classOf(wanted);
    for (const one of this.region.conditions) {
      if (!isEquality(one) || this.classOf(one.left) !== wantedClass) continue;
      const side = [one.left, one.right].find(
        (each) => touches(each, leaf) && isWithin(each, leaf),
      );
      if (side !== undefined) return side;
    }
    return undefined;
  }

  /** Orders of keys whose columns are equal to those of another leaf. */
  candidates(): Wish[] {
    const { leaves, conditions, type } = this.region;
    if (!conditions.some(isEquality)) return [];
    const found = new Map<string, Wish>();
    for (const leaf of leaves)
      for (const parts of this.estimates.keysOf(leaf)) {
        const wish = this.candidate(leaf, parts);
        if (wish === undefined) continue;
        const [first] = wish.keys;
        const name = wish.keys
          .map(({ output, descending }) => {
            const one = wish.outputs[output];
            return `${one && this.classOf(one)}${descending === first?.descending}`;
          })
          .join();
        const most = leaves.length > fewLeaves ? 1 : candidatesMax;
        if (found.size < most && !found.has(name)) found.set(name, wish);
      }
    return type === 'inner' || leaves.length === 2 ? [...found.values()] : [];
  }

  private candidate(leaf: Leaf, parts: readonly KeyPart[]): Wish | undefined {
    const { leaves, conditions, conditionsOf } = this.region;
    const local = localConditions(leaf, conditionsOf(leaf)).flatMap((one) => keyTest(one) ?? []);
    const pairs = pairsOf(conditions, leaf);
    const keys: SortKey[] = [];
    const outputs: Expression[] = [];
    for (const part of parts) {
      if (part.column < 0) break;
      const isSet = local.some(
        (test) =>
          test.kind === 'comparison' &&
          test.operator === '=' &&
          test.values.length === 1 &&
          isOn(test.operand, part),
      );
      if (isSet) continue;
      const own = column(part.type, leaf.from + part.column, { name: part.name });
      const pair = pairs.find((one) => columnOf(one.right) === own.index);
      if (pair === undefined) break;
      const { descending, nullsFirst } = part;
      keys.push({ output: outputs.length, descending, nullsFirst });
      outputs.push(own);
    }
    const [first] = outputs;
    if (first === undefined) return undefined;
    // Somebody else has to have the order as well, or to be sorted instead of spilled.
    const others = leaves.filter((other) => other !== leaf);
    const isShared = others.some((other) => {
      const same = this.ownOf(other, first);
      return same !== undefined && this.estimates.mayCome(other, same);
    });
    return isShared ? { keys, outputs, nullsAnywhere: true, isFinal: false } : undefined;
  }

  private classOf(expression: Expression): string {
    let name = this.names.get(expression);
    if (name === undefined) {
      name = nameOf(expression);
      this.names.set(expression, name);
    }
    for (let next = this.classes.get(name); next !== undefined; next = this.classes.get(name))
      name = next;
    return name;
  }

  private unite(left: Expression, right: Expression): void {
    const [a, b] = [this.classOf(left), this.classOf(right)];
    if (a !== b) this.classes.set(a, b);
  }
}

function keyName({ output, descending, nullsFirst }: SortKey, { outputs }: AskedOrder): string {
  const one = outputs[output];
  return `${one && nameOf(one)}/${descending}/${nullsFirst}`;
}

function nameOf(expression: Expression): string {
  const offset = columnOf(expression);
  return offset === undefined ? expressionKey(expression) : `#${offset}`;
}
