/**
 * Stands between a coordinator and its router and writes down what stores have answered: the version that each read saw,
 * at which timestamp, and when promises were made. Changes nothing. Its coordinator dies where somebody waits for a step.
 */
import { toHex } from '@flotilla/base';
import type { TransactionContext, TransactionRouter } from '@flotilla/router';
import type { CommitStep } from '../../faults.ts';
import { valuesRead } from './reading.ts';
import { keyText, type TransactionTrace } from './trace.ts';

const noBytes = new Uint8Array(0);
const noValues = Buffer.from('[]');

type Steps = Pick<
  TransactionRouter,
  'get' | 'lock' | 'scan' | 'evaluate' | 'write' | 'prepare' | 'decide' | 'resolve' | 'recover'
>;

export class Witness {
  /** By id, in hex. */
  private readonly traces = new Map<string, TransactionTrace>();
  private readonly now: () => number;

  /** @param now true time */
  constructor(now: () => number) {
    this.now = now;
  }

  follow(id: string, trace: TransactionTrace): void {
    this.traces.set(id, trace);
  }

  /** The router, watched. */
  watch(router: TransactionRouter, onStep: (step: CommitStep) => void): TransactionRouter {
    const trace = ({ id }: TransactionContext): TransactionTrace | undefined =>
      this.traces.get(toHex(id));
    const steps: Steps = {
      get: async (context, keys, options) => {
        const askedAt = trace(context)?.seesFrom ?? 0;
        const found = await router.get(context, keys, options);
        for (const [i, key] of keys.entries())
          trace(context)?.reads.push({
            key: keyText(key),
            version: found.values[i]?.timestamp ?? 0,
            value: textOf(found.values[i]?.value),
            at: found.readTimestamp,
            locked: false,
            askedAt,
          });
        return found;
      },
      lock: async (context, keys, options) => {
        const askedAt = this.now();
        const found = await router.lock(context, keys, options);
        for (const [i, key] of keys.entries())
          if (!found.skipped.includes(i))
            trace(context)?.reads.push({
              key: keyText(key),
              version: found.values[i]?.timestamp ?? 0,
              at: found.readTimestamp,
              locked: true,
              askedAt,
            });
        return found;
      },
      scan: async (context, scan, options) => {
        const askedAt = trace(context)?.seesFrom ?? 0;
        const found = await router.scan(context, scan, options);
        const { startKey, endKey } = found.covered;
        trace(context)?.spans.push({
          startKey: keyText(startKey),
          endKey: keyText(endKey),
          rows: new Map(found.rows.map(({ key, timestamp }) => [keyText(key), timestamp])),
          at: found.readTimestamp,
          askedAt,
        });
        return found;
      },
      evaluate: async (context, evaluation, options) => {
        const askedAt = trace(context)?.seesFrom ?? 0;
        const found = await router.evaluate(context, evaluation, options);
        const { done, evaluated, values, readTimestamp: at } = found;
        const texts = new Map(
          valuesRead(evaluated?.result ?? noValues).map(({ position, value }) => [position, value]),
        );
        for (let i = 0; i < done; i++)
          trace(context)?.reads.push({
            key: keyText(evaluation.keys[i] ?? noBytes),
            ...(evaluated === undefined
              ? { version: values[i]?.timestamp ?? 0, value: textOf(values[i]?.value) }
              : { version: undefined, value: texts.get(i) }),
            at,
            locked: false,
            askedAt,
          });
        return found;
      },
      write: async (context, write, options) => {
        const outcome = await router.write(context, write, options);
        const seen = trace(context);
        if (seen !== undefined && outcome.applied) seen.toldTimestamp = outcome.timestamp;
        return outcome;
      },
      prepare: async (context, prepare, options) => {
        onStep('promises');
        const outcome = await router.prepare(context, prepare, options);
        const seen = trace(context);
        if (seen !== undefined && outcome.kind === 'prepared')
          seen.toldTimestamp = prepare.commitTimestamp;
        onStep('promised');
        return outcome;
      },
      decide: (decision, options) => {
        onStep('decides');
        return router.decide(decision, options);
      },
      resolve: (resolutions, options) => {
        onStep('resolves');
        return router.resolve(resolutions, options);
      },
      recover: async (record, options) => {
        const state = await router.recover(record, options);
        const seen = this.traces.get(toHex(record.transactionId));
        if (seen !== undefined && state.status === 'committed')
          seen.toldTimestamp = state.commitTimestamp;
        return state;
      },
    };
    return overlaid(router, steps);
  }
}

function textOf(value: Uint8Array | undefined): string | undefined {
  return value === undefined ? undefined : Buffer.from(value).toString();
}

/** The object, with some of its members replaced. */
export function overlaid<T extends object>(target: T, members: Partial<T>): T {
  return new Proxy(target, {
    get: (inner, name) => {
      if (Object.hasOwn(members, name)) return Reflect.get(members, name);
      const found: unknown = Reflect.get(inner, name);
      return typeof found === 'function' ? found.bind(inner) : found;
    },
  });
}
