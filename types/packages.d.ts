// The packages of the platforms, of which none is installed in a checkout.

declare module 'engine.io-native-*'
