// A dashboard as Grafana's own types have it, where enumerations are the texts of JSON. The dashboard follows.
import type { Dashboard, FieldConfig, FieldConfigSource, Panel, RowPanel } from './node_modules/@grafana/schema/dist/types/raw/dashboard/x/types.gen';
import type { FieldConfig as HeatmapField, Options as HeatmapOptions } from './node_modules/@grafana/schema/dist/types/raw/composable/heatmap/panelcfg/x/types.gen';
import type { Options as StatOptions } from './node_modules/@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen';
import type { Options as TableOptions } from './node_modules/@grafana/schema/dist/types/raw/composable/table/panelcfg/x/types.gen';
import type { FieldConfig as SeriesField, Options as SeriesOptions } from './node_modules/@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen';

type Plain<T> =
  T extends string ? `${T}` :
  T extends number ? (`${T}` extends `${infer N extends number}` ? N : T) :
  T extends boolean | null | undefined ? T :
  T extends object ? { [K in keyof T]: Plain<T[K]> } :
  T;
type Of<Type, Options, Field> = Omit<Panel, 'type' | 'options' | 'fieldConfig'> & {
  type: Type;
  options: Options;
  fieldConfig: Omit<FieldConfigSource, 'defaults'> & { defaults: Omit<FieldConfig, 'custom'> & { custom?: Field } };
};
type AnyPanel =
  | RowPanel
  | Of<'stat', StatOptions, never>
  | Of<'table', TableOptions, never>
  | Of<'heatmap', HeatmapOptions, HeatmapField>
  | Of<'timeseries', SeriesOptions, SeriesField>;
type Board = Plain<Omit<Dashboard, 'panels'>> & { panels: Plain<AnyPanel>[] };
