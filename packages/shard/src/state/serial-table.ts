/**
 * Values by serial number, in ascending order: a client's serials rise, so that new ones come at the end and old ones leave
 * at the front. There is such a table or two for every range and session, nearly all with one or two values: filling and
 * emptying it again makes no garbage, as a `Map` does (its tables are made anew every few deletions).
 */
import { assert } from '@flotilla/base';

export class SerialTable<Value> {
  /** Ascending in [head, end); what lies outside is left over. */
  private serials: number[] = [];
  private values: (Value | undefined)[] = [];
  private head = 0;
  private end = 0;

  get size(): number {
    return this.end - this.head;
  }

  has(serial: number): boolean {
    return this.find(serial) >= 0;
  }

  get(serial: number): Value | undefined {
    const at = this.find(serial);
    return at < 0 ? undefined : this.values[at];
  }

  /** Adds it, or takes the place of the value that was there. O(1) above all others, else linear. */
  set(serial: number, value: Value): void {
    assert(Number.isSafeInteger(serial), 'a serial is an integer');
    let at = this.place(serial);
    if (at < this.end && this.serials[at] === serial) {
      this.values[at] = value;
      return;
    }
    if (this.end === this.serials.length && this.head > 0) at -= this.moveToFront();
    for (let i = this.end; i > at; i--) {
      this.serials[i] = this.serials[i - 1] as number;
      this.values[i] = this.values[i - 1];
    }
    this.serials[at] = serial;
    this.values[at] = value;
    this.end++;
  }

  delete(serial: number): void {
    const at = this.find(serial);
    if (at < 0) return;
    if (at === this.head) {
      this.dropFirst();
      return;
    }
    for (let i = at + 1; i < this.end; i++) {
      this.serials[i - 1] = this.serials[i] as number;
      this.values[i - 1] = this.values[i];
    }
    this.values[--this.end] = undefined;
  }

  deleteUpTo(serial: number): void {
    while (this.head < this.end && (this.serials[this.head] as number) <= serial) this.dropFirst();
  }

  /** Ascending. */
  keys(): number[] {
    return this.serials.slice(this.head, this.end);
  }

  /** Ascending. */
  entries(): [number, Value][] {
    return this.keys().map((serial, i) => [serial, this.values[this.head + i] as Value]);
  }

  copy(): SerialTable<Value> {
    const table = new SerialTable<Value>();
    table.serials = this.keys();
    table.values = this.values.slice(this.head, this.end);
    table.end = table.serials.length;
    return table;
  }

  private dropFirst(): void {
    this.values[this.head++] = undefined;
    if (this.head < this.end) return;
    this.head = 0;
    this.end = 0;
  }

  private find(serial: number): number {
    const at = this.place(serial);
    return at < this.end && this.serials[at] === serial ? at : -1;
  }

  /** Where the first serial is that is not below this one; `end` if there is none. */
  private place(serial: number): number {
    const { serials } = this;
    if (this.head === this.end || (serials[this.end - 1] as number) < serial) return this.end;
    let low = this.head;
    let high = this.end - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((serials[middle] as number) < serial) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** @returns by how many places everything has moved */
  private moveToFront(): number {
    const { head, end, serials, values } = this;
    for (let i = head; i < end; i++) {
      serials[i - head] = serials[i] as number;
      values[i - head] = values[i];
    }
    values.fill(undefined, end - head, end);
    this.head = 0;
    this.end = end - head;
    return head;
  }
}
