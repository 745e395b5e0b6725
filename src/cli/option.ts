/** What the table of options says of one. */

import type { CommandName } from './commands.ts';

export interface Option {
  readonly short?: string;
  /** What help calls its value; a flag has none. */
  readonly argument?: string;
  /** Without a full stop; help adds the values and the default. */
  readonly sentence: string;
  readonly commands: readonly CommandName[];
  /** Options of many commands that are described together; the others are the command's own. */
  readonly group?: OptionGroup;
  readonly default?: string;
  /** All values that it accepts. */
  readonly values?: readonly string[];
  /** What a shell completes its value with. */
  readonly path?: 'file' | 'folder';
  readonly repeatable?: true;
  /** Where docs/cli/ says more. */
  readonly page?: string;
  /** What is different about it in some commands. */
  readonly override?: Readonly<Partial<Record<CommandName, Partial<Pick<Option, 'sentence' | 'default' | 'values' | 'page'>>>>>;
}

/** `image`: which disk of SRC, and what it must be. `source`: how SRC is fetched. `many`: many images or disks. `output`: what is printed. */
type OptionGroup = 'image' | 'source' | 'many' | 'pool' | 'output';
