/** Fields of one answer; far above what any program sends. */
export const answerFieldsMax = 200
/** Informational answers before the final one. */
export const informationalMax = 16
