/** What a gateway shows to Prometheus. */
import type { Gateway } from '@flotilla/gateway';
import type { Instruments } from './instruments.ts';

export type GatewaySource = Pick<Gateway, 'connectionCount' | 'counters'> & {
  /** Written to temporary files since the process began. */
  spilledBytes(): number;
};

export function addGatewayMetrics(to: Instruments, source: () => GatewaySource | undefined): void {
  to.gauge(
    'flotilla_gateway_connections_count',
    'Open connections of clients.',
    () => source()?.connectionCount,
  );
  to.counter(
    'flotilla_gateway_connections_total',
    'Connections that clients have made.',
    () => source()?.counters.connections,
  );
  to.counters(
    {
      name: 'flotilla_gateway_statements_total',
      help: 'Statements completed, by the first word of their tags.',
      label: 'kind',
    },
    () => source()?.counters.statements,
  );
  to.counters(
    {
      name: 'flotilla_gateway_errors_total',
      help: 'Errors that clients were told, by the first two characters of their SQLSTATEs.',
      label: 'class',
    },
    () => source()?.counters.errors,
  );
  to.durations(
    'flotilla_gateway_statement_duration_seconds',
    'From the beginning of a statement until its rows have been sent.',
    () => source()?.counters.statementTimes,
  );
  to.counter(
    'flotilla_gateway_statement_retries_total',
    'Statements that ran again because others were in their way.',
    () => source()?.counters.retries,
  );
  to.counter(
    'flotilla_gateway_spilled_bytes_total',
    'Written to temporary files because statements could not hold it in memory.',
    () => source()?.spilledBytes(),
  );
}
