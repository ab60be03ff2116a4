/** information_schema about domains: the domains, their constraints, and the columns that are of them. */
import { baseModifier, baseType } from '../../types/domain.ts';
import { defaultText } from '../definitions.ts';
import type { DomainDescriptor, TypeDescriptor } from '../descriptor.ts';
import { isMaterialized } from '../relation-word.ts';
import { typeFacts } from './information-types.ts';
import type { RowsOf, SystemRow } from './layout.ts';
import type { VirtualSource } from './virtual-table.ts';

function domainsOf({ snapshot }: VirtualSource): (TypeDescriptor & { domain: DomainDescriptor })[] {
  return snapshot.types().flatMap((type) => {
    const { domain } = type;
    return domain === undefined ? [] : [{ ...type, domain }];
  });
}

function named({ database }: VirtualSource, { schema, name }: TypeDescriptor): SystemRow {
  return { domain_catalog: database, domain_schema: schema, domain_name: name };
}

function udt({ database }: VirtualSource, { type }: DomainDescriptor): SystemRow {
  const { schema, name } = type;
  return { udt_catalog: database, udt_schema: schema, udt_name: name };
}

function* domains(source: VirtualSource): Iterable<SystemRow> {
  for (const one of domainsOf(source)) {
    const { domain, name } = one;
    const [type, modifier] = [baseType(domain.type), baseModifier(domain.type, domain.modifier)];
    const column = {
      name,
      attributeNumber: 0,
      notNull: false,
      type,
      modifier,
      default: domain.default,
    };
    yield {
      ...named(source, one),
      ...typeFacts(domain.type, domain.modifier),
      ...(domain.type.element === undefined ? {} : { data_type: domain.type.display }),
      ...udt(source, domain),
      domain_default: defaultText(column, source.snapshot, source.names) ?? null,
      dtd_identifier: '1',
    };
  }
}

function* domainConstraints(source: VirtualSource): Iterable<SystemRow> {
  for (const one of domainsOf(source))
    for (const { name } of one.domain.checks)
      yield {
        constraint_catalog: source.database,
        constraint_schema: one.schema,
        constraint_name: name,
        ...named(source, one),
        is_deferrable: 'NO',
        initially_deferred: 'NO',
      };
}

function* domainTypeUsage(source: VirtualSource): Iterable<SystemRow> {
  for (const one of domainsOf(source)) yield { ...udt(source, one.domain), ...named(source, one) };
}

function* columnDomainUsage(source: VirtualSource): Iterable<SystemRow> {
  const { snapshot, database } = source;
  for (const relation of snapshot.sorted())
    if (relation.kind !== 'sequence' && !isMaterialized(relation))
      for (const { name, type } of relation.columns) {
        const descriptor = type.domain && snapshot.descriptorOf(type);
        if (descriptor !== undefined)
          yield {
            ...named(source, descriptor),
            table_catalog: database,
            table_schema: relation.schema,
            table_name: relation.name,
            column_name: name,
          };
      }
}

export const domainTables: Readonly<Record<string, RowsOf>> = {
  domains,
  domain_constraints: domainConstraints,
  domain_udt_usage: domainTypeUsage,
  column_domain_usage: columnDomainUsage,
};
