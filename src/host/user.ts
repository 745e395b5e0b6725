/** User: who runs this process. Windows has no numbers for users, and its folders of a user are closed to others without modes. */

import type { Stats } from 'node:fs';

/** Undefined where users have no numbers. */
export const effectiveUser = (): number | undefined => process.geteuid?.();

/** Whether a file belongs to this user, as far as the system says so. */
export const isOwn = ({ uid }: Pick<Stats, 'uid'>): boolean => effectiveUser() === undefined || uid === effectiveUser();
