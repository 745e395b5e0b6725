/** The name of a system error, such as ENOENT. @param {unknown} error */
export const errnoOf = (error) => (error instanceof Error && 'code' in error ? String(error.code) : undefined);
