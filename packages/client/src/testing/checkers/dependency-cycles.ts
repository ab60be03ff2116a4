/** Cycles of dependencies between transactions, by the names that the kinds of their edges give them. Pure. */

/** `so`: the order of one client. */
export type EdgeKind = 'ww' | 'wr' | 'rw' | 'so';

export interface Edge {
  readonly from: number;
  readonly to: number;
  readonly kind: EdgeKind;
  readonly why: string;
}

/**
 * The edges that lie on a cycle: those inside a strongly connected component. A right history has none, so that finding
 * this out is all the work there is, linear in its size (Tarjan, "Depth-first search and linear graph algorithms", 1972).
 */
export function edgesAmongCycles(count: number, edges: readonly Edge[]): readonly Edge[] {
  const successors: number[][] = Array.from({ length: count }, () => []);
  for (const { from, to } of edges) successors[from]?.push(to);
  const order = new Int32Array(count).fill(-1);
  const low = new Int32Array(count);
  const component = new Int32Array(count).fill(-1);
  const open: number[] = [];
  let [visited, components] = [0, 0];
  for (let root = 0; root < count; root++) {
    if (order[root] !== -1) continue;
    // Histories are long and so are their paths: no recursion.
    const path: { readonly node: number; next: number }[] = [];
    const enter = (node: number): void => {
      order[node] = visited;
      low[node] = visited++;
      open.push(node);
      path.push({ node, next: 0 });
    };
    enter(root);
    for (let step = path.at(-1); step !== undefined; step = path.at(-1)) {
      const { node } = step;
      const to = successors[node]?.[step.next++];
      if (to !== undefined) {
        if (order[to] === -1) enter(to);
        else if (component[to] === -1) low[node] = Math.min(low[node] ?? 0, order[to] ?? 0);
        continue;
      }
      path.pop();
      const above = path.at(-1)?.node;
      if (above !== undefined) low[above] = Math.min(low[above] ?? 0, low[node] ?? 0);
      if (low[node] !== order[node]) continue;
      for (let member = open.pop(); member !== undefined; member = open.pop()) {
        component[member] = components;
        if (member === node) break;
      }
      components++;
    }
  }
  return edges.filter(({ from, to }) => component[from] === component[to]);
}

/** The shortest cycle of a kind: G0 of ww alone, G1c also of wr, G-single with exactly one rw, G2 with any. */
export function findCycle(
  count: number,
  edges: readonly Edge[],
  kind: 'G0' | 'G1c' | 'G-single' | 'G2',
): readonly Edge[] | undefined {
  const usable = edges.filter(
    (edge) =>
      kind === 'G2' ||
      edge.kind === 'ww' ||
      (kind !== 'G0' && (edge.kind === 'wr' || edge.kind === 'so')),
  );
  // What the cycle must have for its name, and the rest of the way around.
  const must: EdgeKind = kind === 'G0' ? 'ww' : kind === 'G1c' ? 'wr' : 'rw';
  const successors: Edge[][] = Array.from({ length: count }, () => []);
  for (const edge of usable) successors[edge.from]?.push(edge);
  let shortest: readonly Edge[] | undefined;
  for (const first of edges) {
    if (first.kind !== must) continue;
    const path = shortestPath(successors, first.to, first.from);
    if (path === undefined) continue;
    const cycle = [first, ...path];
    const several = cycle.filter((edge) => edge.kind === 'rw').length >= 2;
    if (kind === 'G2' && !several) continue;
    if (shortest === undefined || cycle.length < shortest.length) shortest = cycle;
  }
  return shortest;
}

function shortestPath(
  successors: readonly (readonly Edge[])[],
  from: number,
  to: number,
): readonly Edge[] | undefined {
  const cameBy = new Map<number, Edge | undefined>([[from, undefined]]);
  const queue = [from];
  for (let at = 0; at < queue.length; at++) {
    const node = queue[at] ?? from;
    if (node === to) {
      const path: Edge[] = [];
      for (let edge = cameBy.get(node); edge !== undefined; edge = cameBy.get(edge.from))
        path.unshift(edge);
      return path;
    }
    for (const edge of successors[node] ?? []) {
      if (cameBy.has(edge.to)) continue;
      cameBy.set(edge.to, edge);
      queue.push(edge.to);
    }
  }
  return undefined;
}
