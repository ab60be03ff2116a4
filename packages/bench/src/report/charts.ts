/**
 * Results as pictures: SVG made by ECharts without a browser. Colours are variables of the page's style sheet, so that
 * one picture is readable on a dark page and on a light one. Pure.
 */
import { BarChart, LineChart, ScatterChart } from 'echarts/charts';
import {
  GridComponent,
  LegendComponent,
  MarkLineComponent,
  TitleComponent,
} from 'echarts/components';
import { type EChartsCoreOption, init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import { medianSample, type RateSample, type TimeSample } from '../measure/summary.ts';
import type { Result, Row } from './report.ts';

use([
  ...[BarChart, LineChart, ScatterChart],
  ...[GridComponent, LegendComponent, MarkLineComponent, TitleComponent],
  SVGRenderer,
]);

const font = 'system-ui, sans-serif';
const ink = 'var(--ink)';
const faint = 'var(--faint)';
const known = ['flotilla', 'etcd', 'postgres'];

/** A variable of the page. */
function colorOf(system: string): string {
  return known.includes(system) ? `var(--${system})` : 'var(--other)';
}

interface Size {
  readonly width: number;
  readonly height: number;
}

function svgOf(option: EChartsCoreOption, size: Size): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, ...size });
  try {
    chart.setOption({
      ...{ animation: false, textStyle: { fontFamily: font, color: ink } },
      ...option,
    });
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
}

const titleOf = (text: string) => ({
  ...{ text, left: 0, top: 0 },
  textStyle: { color: ink, fontSize: 13, fontWeight: 600 as const, fontFamily: font },
});
const legend = {
  ...{ top: 22, left: 0, itemGap: 14, itemWidth: 14, itemHeight: 8, selectedMode: false as const },
  textStyle: { color: ink, fontSize: 11 },
};
const grid = {
  left: 8,
  right: 12,
  top: 56,
  bottom: 4,
  outerBoundsMode: 'same',
  outerBoundsContain: 'axisLabel',
};
const axisLabel = { color: ink, fontSize: 11 };
const lines = {
  axisLine: { lineStyle: { color: faint } },
  splitLine: { lineStyle: { color: faint } },
};
const categories = (data: readonly string[]) => ({
  ...{ type: 'category' as const, data: [...data], axisLabel, axisTick: { show: false } },
  axisLine: lines.axisLine,
});

/** Thousands as 12k: axes have little room. */
function short(value: number): string {
  if (value >= 1e6) return `${+(value / 1e6).toPrecision(3)}M`;
  return value >= 1e3 ? `${+(value / 1e3).toPrecision(3)}k` : String(+value.toPrecision(3));
}

const half: Size = { width: 460, height: 280 };

/** Each system's median at each point; undefined where it has no sample of that kind. */
function seriesOf<Kind extends 'rate' | 'time'>(
  results: readonly Result[],
  kind: Kind,
): ReadonlyMap<string, readonly (((RateSample | TimeSample) & { kind: Kind }) | undefined)[]> {
  const names = [...new Set(results.flatMap(({ systems }) => systems.map(({ name }) => name)))];
  type Wanted = (RateSample | TimeSample) & { kind: Kind };
  return new Map(
    names.map((name) => [
      name,
      results.map(({ systems }) => {
        const samples = systems.find((system) => system.name === name)?.samples ?? [];
        const median = samples.length === 0 ? undefined : medianSample(samples);
        return median?.kind === kind ? (median as Wanted) : undefined;
      }),
    ]),
  );
}

/** Bars: operations per second of each system at each point. @param results of one group, of rates */
export function throughputChart(results: readonly Result[]): string {
  return barChart(
    results.map(({ point }) => point),
    'operations per second',
    [
      ...[...seriesOf(results, 'rate')].map(([name, samples]) => ({
        name,
        data: samples.map((sample) => sample?.operationsPerSecond),
      })),
    ],
  );
}

/** Bars: seconds of each system at each point. @param results of one group, of times */
export function timeChart(results: readonly Result[]): string {
  return barChart(
    results.map(({ point }) => point),
    'seconds, less is better',
    [
      ...[...seriesOf(results, 'time')].map(([name, samples]) => ({
        name,
        data: samples.map((sample) => sample && sample.milliseconds / 1000),
      })),
    ],
  );
}

interface Bars {
  readonly name: string;
  readonly data: readonly (number | undefined)[];
}

function barChart(points: readonly string[], title: string, series: readonly Bars[]): string {
  return svgOf(
    {
      ...{ title: titleOf(title), legend, grid, xAxis: categories(points) },
      yAxis: { type: 'value', axisLabel: { ...axisLabel, formatter: short }, ...lines },
      series: series.map(({ name, data }) => ({
        ...{ type: 'bar', name, silent: true, barMaxWidth: 36 },
        data: data.map((value) => value ?? '-'),
        itemStyle: { color: colorOf(name), borderRadius: [2, 2, 0, 0] },
        label: {
          ...{ show: true, position: 'top', color: ink, fontSize: 10 },
          formatter: ({ value }: { readonly value: unknown }) =>
            typeof value === 'number' ? short(value) : '',
        },
      })),
    },
    half,
  );
}

const percentiles = [
  { key: 'p50', name: 'p50', dash: 'solid', symbol: 'circle' },
  { key: 'p99', name: 'p99', dash: 'dashed', symbol: 'triangle' },
  { key: 'p999', name: 'p99.9', dash: 'dotted', symbol: 'diamond' },
] as const;

/** Lines: p50, p99 and p99.9 of each system at each point, on a logarithmic axis. @param results of one group, of rates */
export function latencyChart(results: readonly Result[]): string {
  // Between workloads that are no numbers there is nothing to connect.
  const width = results.every(({ point }) => Number.isFinite(Number(point))) ? 2 : 0;
  const series = [...seriesOf(results, 'rate')].flatMap(([name, samples]) =>
    percentiles.map(({ key, name: percentile, dash, symbol }) => ({
      ...{ type: 'line', name: `${name} ${percentile}`, silent: true, symbol, symbolSize: 7 },
      data: samples.map((sample) => (sample === undefined ? '-' : sample[key] / 1000)),
      lineStyle: { color: colorOf(name), type: dash, width },
      itemStyle: { color: colorOf(name) },
    })),
  );
  return svgOf(
    {
      ...{ title: titleOf('latency in ms'), legend, grid: { ...grid, top: 76 } },
      xAxis: {
        ...categories(results.map(({ point }) => point)),
        boundaryGap: results.length === 1 || width === 0,
      },
      yAxis: { type: 'log', axisLabel: { ...axisLabel, formatter: short }, ...lines },
      series,
    },
    half,
  );
}

/** Points: how many times better than the first system, one line per workload; the first system is the line at 1. */
export function ratioChart(rows: readonly Row[]): string {
  const compared = rows.filter(({ ratio }) => ratio !== undefined);
  const workloads = [...new Set(compared.map(({ workload }) => workload))].reverse();
  const systems = [...new Set(compared.map(({ system }) => system))];
  const atOne = {
    ...{ silent: true, symbol: 'none', label: { show: false }, data: [{ xAxis: 1 }] },
    lineStyle: { color: ink, type: 'solid', width: 1 },
  };
  return svgOf(
    {
      ...{ title: titleOf('times the first system; right of the line is better'), legend, grid },
      yAxis: { ...categories(workloads), splitLine: { show: true, lineStyle: { color: faint } } },
      xAxis: {
        ...{ type: 'log', axisLabel: { ...axisLabel, formatter: (x: number) => `${short(x)}x` } },
        ...lines,
      },
      series: systems.map((system, i) => ({
        ...{ type: 'scatter', name: system, silent: true, symbolSize: 9 },
        data: compared
          .filter((row) => row.system === system)
          .map(({ workload, ratio }) => [ratio, workload]),
        itemStyle: { color: colorOf(system) },
        ...(i === 0 ? { markLine: atOne } : {}),
      })),
    },
    { width: 940, height: 76 + 19 * workloads.length },
  );
}
