/** pg_advisory_lock and its kin. The locks are those of all sessions of the cluster: `advisory/`. */
import type { AdvisoryScope } from '../advisory/advisory-facts.ts';
import type { AdvisoryMode } from '../advisory/rows.ts';
import { boolType, int4Type, int8Type, type SqlType, voidType } from '../types/type.ts';
import type { Datum } from '../types/values.ts';
import { catalogOf } from './sequences.ts';
import { type EvalContext, type Signature, signature } from './signature.ts';

const changing = { volatility: 'volatile' } as const;
const low32 = 0xffff_ffffn;

/** The id of a lock, by what it was called with: one bigint, or two integers. */
function idOf(a: Datum, b: Datum, pair: boolean) {
  if (!pair) return { kind: 'single', key: BigInt(a as bigint) } as const;
  const key = (BigInt(a as number) << 32n) | (BigInt(b as number) & low32);
  return { kind: 'pair', key } as const;
}

function both(
  name: string,
  result: SqlType,
  work: (
    id: ReturnType<typeof idOf>,
    context: EvalContext,
    signal: AbortSignal | undefined,
  ) => Promise<Datum>,
): Signature[] {
  const call = (pair: boolean) => (a: Datum, b: Datum, _c: Datum, context: EvalContext) => {
    const id = idOf(a, b, pair);
    const { work: outside } = catalogOf(context).backend;
    return outside.result(`${name} ${id.kind} ${id.key}`, (signal) => work(id, context, signal));
  };
  return [
    signature(name, [int8Type], result, call(false), changing),
    signature(name, [int4Type, int4Type], result, call(true), changing),
  ];
}

function lock(scope: AdvisoryScope, mode: AdvisoryMode, wait: boolean): Signature[] {
  const name = [
    wait ? 'pg' : 'pg_try',
    scope === 'transaction' ? '_advisory_xact_lock' : '_advisory_lock',
    mode === 'share' ? '_shared' : '',
  ].join('');
  return both(name, wait ? voidType : boolType, async (id, context, signal) => {
    const { advisory } = catalogOf(context).backend;
    const taken = await advisory.lock({ id, mode }, { scope, wait, signal });
    return wait ? '' : taken;
  });
}

function unlock(mode: AdvisoryMode): Signature[] {
  return both(
    mode === 'share' ? 'pg_advisory_unlock_shared' : 'pg_advisory_unlock',
    boolType,
    (id, context) => catalogOf(context).backend.advisory.unlock({ id, mode }),
  );
}

const modes: readonly AdvisoryMode[] = ['exclusive', 'share'];

export const advisoryFunctions: readonly Signature[] = [
  ...(['session', 'transaction'] as const).flatMap((scope) =>
    modes.flatMap((mode) => [true, false].flatMap((wait) => lock(scope, mode, wait))),
  ),
  ...modes.flatMap(unlock),
  signature(
    'pg_advisory_unlock_all',
    [],
    voidType,
    (_a, _b, _c, context) => {
      const { advisory, work } = catalogOf(context).backend;
      return work.result('pg_advisory_unlock_all', async () => {
        await advisory.unlockAll();
        return '';
      });
    },
    changing,
  ),
];
