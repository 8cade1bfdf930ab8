/** What is on. */
export const SHOWS = ['hamlet', 'macbeth'];

/** How many can be sold of each. */
export const SEATS = 100;
