/**
 * Values by name, in no order. Every range has such tables, nearly all with none, one or two names at a time: those lie in two
 * short arrays, which filling and emptying makes no garbage of; a `Map` takes over where there are many.
 */

/** More than this are looked up in a map. */
const fewMax = 8;

export class NameTable<Value> {
  /** The first `count` are in use; all of them unless there are many. */
  private readonly names: string[] = [];
  private readonly few: (Value | undefined)[] = [];
  private count = 0;
  private many: Map<string, Value> | undefined;

  get size(): number {
    return this.many?.size ?? this.count;
  }

  get(name: string): Value | undefined {
    if (this.many !== undefined) return this.many.get(name);
    const at = this.find(name);
    return at < 0 ? undefined : this.few[at];
  }

  set(name: string, value: Value): void {
    if (this.many === undefined) {
      const at = this.find(name);
      if (at >= 0) {
        this.few[at] = value;
        return;
      }
      if (this.count < fewMax) {
        this.names[this.count] = name;
        this.few[this.count++] = value;
        return;
      }
      this.many = new Map(this.names.map((known, i) => [known, this.few[i] as Value]));
      this.clearFew();
    }
    this.many.set(name, value);
  }

  delete(name: string): void {
    if (this.many !== undefined) {
      this.many.delete(name);
      if (this.many.size === 0) this.many = undefined;
      return;
    }
    const at = this.find(name);
    if (at < 0) return;
    const last = --this.count;
    this.names[at] = this.names[last] as string;
    this.few[at] = this.few[last];
    this.names[last] = '';
    this.few[last] = undefined;
  }

  values(): Iterable<Value> {
    return this.many?.values() ?? (this.few.slice(0, this.count) as Value[]);
  }

  clear(): void {
    this.many = undefined;
    this.clearFew();
  }

  private clearFew(): void {
    this.names.fill('');
    this.few.fill(undefined);
    this.count = 0;
  }

  private find(name: string): number {
    for (let i = 0; i < this.count; i++) if (this.names[i] === name) return i;
    return -1;
  }
}
