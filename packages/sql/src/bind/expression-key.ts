/** Texts by which expressions that compute the same are found: those of GROUP BY, of aggregates, of windows. */
import { baseModifier, baseType } from '../types/domain.ts';
import { datumKey } from '../types/values.ts';
import type { Expression, OrderItem, WindowDefinition } from './expression.ts';
import { children } from './expression-tree.ts';

/** Texts that are equal exactly for expressions that compute the same. */
export function expressionKey(expression: Expression): string {
  const inner = children(expression).map(expressionKey).join(',');
  const { type, modifier } = expression;
  return `${expression.kind}${ownKey(expression)}:${baseType(type).name}/${baseModifier(type, modifier)}(${inner})`;
}

function ownKey(node: Expression): string {
  switch (node.kind) {
    case 'constant':
      return datumKey(node.value);
    case 'parameter':
    case 'column':
    case 'argument':
      return String(node.index);
    case 'subquery':
      return `${node.form}${node.column}${node.written}`;
    case 'grouping':
      return node.masks.join();
    case 'window':
      return `${node.function.signature.name}${node.arguments.length}${node.filter !== undefined}${windowKey(node.window)}`;
    case 'set':
      return `${node.signature.name}.${node.field}`;
    case 'call':
      return `${node.signature.name}[${node.signature.parameters.map((type) => type.name).join()}]`;
    case 'concat':
      return String(node.withSeparator);
    case 'length':
      return String(node.explicit);
    case 'comparison':
      return node.operator;
    case 'is-null':
    case 'distinct':
    case 'in':
      return String(node.negated);
    case 'boolean-test':
      return `${node.expected}${node.negated}`;
    case 'case':
      return String(node.otherwise !== undefined);
    case 'extreme':
      return String(node.direction);
    case 'aggregate':
      return `${node.signature.name}${node.distinct}${node.arguments.length}${node.filter !== undefined}${orderKey(node.order)}`;
    default:
      return '';
  }
}

function orderKey(order: readonly OrderItem[]): string {
  return order.map((item) => `${item.descending}${item.nullsFirst}`).join();
}

function windowKey({ partition, order, frame }: WindowDefinition): string {
  return `${partition.length}/${orderKey(order)}/${frame.mode}/${frame.start.kind}/${frame.end.kind}/${frame.exclude}`;
}

/** Texts that are equal exactly for windows whose rows may be computed together. */
export function windowOrderKey(window: WindowDefinition): string {
  const parts = window.partition.map(expressionKey).join();
  const order = window.order.map((item) => expressionKey(item.expression)).join();
  return `${parts}/${order}/${orderKey(window.order)}`;
}
