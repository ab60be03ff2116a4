/** Work on what a source gives, several items of it at once, with results in the order of the items. */

/**
 * @param ahead items that may be in work before the next result is taken, by how many were taken so far; 1: nothing is drawn
 * before it is wanted
 * An error is raised where it stands in the order. Whoever stops early stops the source; work under way ends by itself.
 */
export async function* pipelined<Item, Result>(
  source: AsyncIterable<Item>,
  work: (item: Item) => Promise<Result>,
  ahead: (taken: number) => number,
): AsyncGenerator<Result, void, undefined> {
  const items = source[Symbol.asyncIterator]();
  const queue: Promise<Result>[] = [];
  let taken = 0;
  let ended = false;
  let drawing = false;
  let wake: (() => void) | undefined;
  const put = (result: Promise<Result>): void => {
    result.catch(() => undefined); // reported where it is awaited
    queue.push(result);
    wake?.();
  };
  const draw = async (): Promise<void> => {
    drawing = true;
    try {
      while (!ended && queue.length < ahead(taken)) {
        const { done, value } = await items.next();
        if (done === true) ended = true;
        else put(work(value));
      }
    } catch (error) {
      ended = true;
      put(Promise.reject(error));
    }
    drawing = false;
    wake?.();
  };
  try {
    for (;;) {
      if (!drawing && !ended) void draw();
      const next = queue.shift();
      if (next !== undefined) {
        taken++;
        yield await next;
      } else if (ended && !drawing) return;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  } finally {
    ended = true;
    items.return?.().then(undefined, () => undefined);
  }
}
