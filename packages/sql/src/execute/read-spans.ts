/** Pairs of the spans of a scan, as they are stored. */
import type { Span } from '@flotilla/base';
import type { KvPair } from '../kv-transaction.ts';
import { spansAhead } from '../limits.ts';
import type { TableScan } from '../plan/plan.ts';
import type { Run } from './run.ts';

/** Pairs of one span after the other; the next ones are asked for while the first is read. */
export async function* pairsOf(
  spans: readonly Span[],
  scan: Pick<TableScan, 'reverse'>,
  run: Run,
  limit: number | undefined,
): AsyncGenerator<readonly KvPair[]> {
  const options = {
    reverse: scan.reverse,
    ...(limit === undefined ? {} : { limit }),
    ...(run.pace.signal === undefined ? {} : { signal: run.pace.signal }),
  };
  const [only] = spans;
  if (only !== undefined && spans.length === 1) {
    yield* run.transaction.scan(only, options);
    return;
  }
  yield* readAhead(
    spans,
    (span) => run.transaction.scan(span, options),
    limit === undefined ? spansAhead : 1,
  );
}

/** What each source gives, in order, with the first results of the next sources under way. */
export async function* readAhead<Source, Result>(
  sources: readonly Source[],
  open: (source: Source) => AsyncIterable<Result>,
  ahead: number,
): AsyncGenerator<Result> {
  const opened: {
    readonly results: AsyncIterator<Result>;
    readonly first: Promise<IteratorResult<Result>>;
  }[] = [];
  let next = 0;
  try {
    for (;;) {
      for (; opened.length < ahead && next < sources.length; next++) {
        const results = open(sources[next] as Source)[Symbol.asyncIterator]();
        const first = results.next();
        first.catch(() => undefined); // reported where it is awaited
        opened.push({ results, first });
      }
      const [head] = opened;
      if (head === undefined) return;
      let result = await head.first;
      while (result.done !== true) {
        yield result.value;
        result = await head.results.next();
      }
      opened.shift();
    }
  } finally {
    for (const { results } of opened) results.return?.().then(undefined, () => undefined);
  }
}
