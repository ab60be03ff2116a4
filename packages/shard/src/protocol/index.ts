/**
 * The key-value protocol between clients and stores (`proto/kv.proto`), for both ends. `kv.Request.encode(...)`,
 * `kv.Response.decode(...)` and so on. Field names are the camelCase of the proto's; 64-bit integers are numbers.
 */
import { flotilla } from '../../gen/kv.js';

/** Fields written by hand, for both ends. */
export {
  bytesFieldSize,
  optionalBytesSize,
  varintFieldSize,
  varintSize,
  writeBytes,
  writeBytesField,
  writeVarint,
  writeVarintField,
} from '@flotilla/base';

export { closedTimestampLagMsDefault, followerReadLagMs } from './closed-timestamps.ts';

export {
  changedConfiguration,
  configurationFault,
  configurationKey,
  configurationSpan,
  decodeConfigurationRow,
  encodeConfigurationRow,
  type RangeConfiguration,
  type RangeConfigurationChange,
  type RangeWishes,
} from './range-configuration.ts';

export {
  decodeProtection,
  encodeProtection,
  protectionKey,
  protectionSpan,
  type SnapshotProtection,
} from './snapshot-protection.ts';

export const kv: typeof flotilla.kv = flotilla.kv;
export type RangeInfo = flotilla.kv.IRangeInfo;
export type InspectResponse = flotilla.kv.IInspectResponse;
export type StatusResponse = flotilla.kv.IStatusResponse;
/** The rows in which the cluster describes itself: whoever may read the key space may read them. */
export {
  decodeEvent,
  decodeIntent,
  decodeReport,
  eventKey,
  eventNumber,
  eventSpan,
  intentSpan,
  type PlacementEvent,
  reportSpan,
  type StoreIntent,
  type StoreReport,
  storeOfKey,
} from '../placement/cluster-rows.ts';
