/**
 * What a transaction has written and not yet sent anywhere, in layers: one for each moment that may be gone back to, later
 * ones above. So what came before a savepoint can leave by itself. Sends nothing. Used by claimed-spans.ts alone.
 */
import { compareBytes, type Span } from '@flotilla/base';
import type { OwnWrites } from './own-reads.ts';
import { keyText, type OwnWrite, WriteBuffer } from './write-buffer.ts';

export class Layer<Base> {
  readonly writes: WriteBuffer = new WriteBuffer();
  /** What it lies on, once all layers below have left. Undefined: they have not been asked to. */
  base: Base | undefined = undefined;
  claims: readonly Span[] = [];
}

export class WriteLayers<Base> implements OwnWrites {
  readonly deletedSpans: readonly Span[] = [];
  private layers: Layer<Base>[] = [new Layer<Base>()];

  /** Lowest first; never empty. */
  get all(): readonly Layer<Base>[] {
    return this.layers;
  }

  get top(): Layer<Base> {
    return this.layers[this.layers.length - 1] as Layer<Base>;
  }

  get claims(): readonly Span[] {
    return this.layers.flatMap(({ claims }) => claims);
  }

  /** As `WriteBuffer.requestBytes`. */
  get bytes(): number {
    return this.layers.reduce((sum, { writes }) => sum + writes.requestBytes, 0);
  }

  /** A moment to go back to: the bottom of a new layer. */
  push(): Layer<Base> {
    const layer = new Layer<Base>();
    this.layers.push(layer);
    return layer;
  }

  /** Whatever was written in the layer and above it has not been. False: there is no such layer any more. */
  undoTo(layer: Layer<Base>): boolean {
    const at = this.layers.indexOf(layer);
    if (at < 0) return false;
    this.layers.length = at + 1;
    layer.writes.clear();
    layer.claims = [];
    return true;
  }

  clear(): void {
    this.layers = [new Layer<Base>()];
  }

  /** Nobody goes back to the bottom of this layer. One that is gone stays so. */
  merge(layer: Layer<Base>): void {
    const at = this.layers.indexOf(layer);
    const lower = this.layers[at - 1];
    if (lower === undefined) return;
    for (const { key, value, mustBeAbsent } of layer.writes.values())
      lower.writes.write(key, value, mustBeAbsent);
    lower.claims = [...lower.claims, ...layer.claims];
    this.layers.splice(at, 1);
  }

  /** Nobody goes back to the bottom of this layer or of one above it. @param layer undefined: of any */
  mergeFrom(layer: Layer<Base> | undefined): void {
    const at = layer === undefined ? 1 : this.layers.indexOf(layer);
    if (at < 0) return;
    for (const one of this.layers.slice(Math.max(at, 1)).reverse()) this.merge(one);
  }

  write(key: Uint8Array, value: Uint8Array | undefined, mustBeAbsent: boolean): void {
    this.top.writes.write(key, value, mustBeAbsent);
  }

  /** What `write` would add to `bytes`, at most. */
  growthOf(key: Uint8Array, value: Uint8Array | undefined): number {
    return this.top.writes.growthOf(key, value);
  }

  lookup(key: Uint8Array): { readonly value: Uint8Array | undefined } | undefined {
    for (let at = this.layers.length - 1; at >= 0; at--) {
      const own = this.layers[at]?.writes.lookup(key);
      if (own !== undefined) return own;
    }
    return undefined;
  }

  within(span: Span): readonly OwnWrite[] {
    const found = this.layers.map(({ writes }) => writes.within(span));
    const some = found.filter(({ length }) => length > 0);
    const [first] = some;
    if (first === undefined) return [];
    if (some.length === 1) return first;
    const merged = new Map<string, OwnWrite>();
    for (const own of some) for (const write of own) merged.set(keyText(write.key), write);
    return [...merged.values()].sort((a, b) => compareBytes(a.key, b.key));
  }

  remaining(span: Span): readonly Span[] {
    return [span];
  }

  /** All of them, as one write for each key. */
  *values(): Generator<OwnWrite, void, void> {
    const merged = new WriteBuffer();
    for (const { writes } of this.layers)
      for (const { key, value, mustBeAbsent } of writes.values())
        merged.write(key, value, mustBeAbsent);
    yield* merged.values();
  }
}
